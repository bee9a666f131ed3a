"""Token stores with drawn tokens, for the tests of `cico_platform.index.token_store`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cico_platform.index.token_store.changes import add_segments, create_store
from cico_platform.index.token_store.records import Layout, SegmentInfo
from cico_platform.index.token_store.row_numbers import Rows
from cico_platform.index.token_store.store import TokenStore
from cico_platform.index.token_store.writer import SegmentWriter
from cico_platform.storage import Place

Clips = Mapping[str, NDArray[np.float16]]
DIM = 8


def drawn(names: str | list[str], dim: int = DIM, seed: int = 0) -> dict[str, NDArray[np.float16]]:
    """Tokens of clips with these names, between 1 and 6 each."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(rng.integers(1, 7), dim)).astype(np.float16) for name in names}


def write(
    folder: str | Place, layout: Layout, clips: Clips, recipe: str = "recipe", key: str = "key"
) -> SegmentInfo:
    """Write a segment, and leave it uncommitted."""
    with SegmentWriter(folder, layout, recipe) as writer:
        for name, tokens in clips.items():
            writer.add(name, key, tokens)
        return writer.finish()


def store_of(folder: str | Place, *segments: Clips, dim: int = DIM) -> list[Rows]:
    """Make a store of these segments; returns the row numbers of each."""
    layout = create_store(folder, dim)
    infos = [write(folder, layout, clips) for clips in segments]
    add_segments(folder, infos)
    return [info.row_numbers() for info in infos]


def contents(folder: Path) -> bytes:
    """Return the bytes of all files below a folder."""
    return b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def assert_holds(store: TokenStore, clips: Clips) -> None:
    """Assert that these clips live in a store, and no others, with exactly these tokens."""
    listed = [row for table in store.clips() for row in table.to_pylist()]
    assert sorted(row["video_id"] for row in listed) == sorted(clips)
    assert len(store) == len(clips)
    names = list(clips)
    rows = store.find(names)
    assert {row["video_id"]: row["row"] for row in listed} == dict(zip(names, rows.tolist(), strict=True))
    assert store.lives(rows).all()
    found = store.tokens(rows)
    assert found.lengths.tolist() == [len(clips[name]) for name in names]
    if names:
        np.testing.assert_array_equal(found.tokens, np.concatenate([clips[name] for name in names]))
