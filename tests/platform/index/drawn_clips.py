"""Clips with drawn tokens, for tests of indexes."""

from typing import Any

import numpy as np

from cico_platform.index.clips import IndexedClip

DIM = 16


def drawn_clips(count: int, seed: int = 0, **payload: Any) -> list[IndexedClip]:
    """Clips of up to eight tokens, by signers A and B in turn."""
    rng = np.random.default_rng(seed)
    return [
        IndexedClip(
            f"clip/{i} ü",
            rng.normal(size=(int(rng.integers(1, 9)), DIM)).astype(np.float32),
            {"text": f"text {i}", "signer": "AB"[i % 2], "duration": float(i), **payload},
        )
        for i in range(count)
    ]
