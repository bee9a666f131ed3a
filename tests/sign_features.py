"""Features as sign encoders of a known quality give them: each sign has its own direction, and noise."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cico_platform.corpus.manifest import Corpus
from cico_platform.pipelines.stored_features import INFO_FILE
from cico_platform.schemas.features import FEATURES_SCHEMA
from cico_platform.steps import write_json

DIM = 16
SIGNS = ("blue", "green", "red", "white")


def write_features(corpus: Path, folder: Path, noise: dict[str, float], alpha: float = 1.0) -> Path:
    """Features of a tiny corpus' sentences by encoders of these names and deviations, mixed by `alpha`."""
    rng = np.random.default_rng(0)
    signs = {sign: rng.normal(size=DIM) for sign in SIGNS}
    rows = []
    for clip in Corpus(corpus).clips(labelled=False):
        words = clip.text.split()
        for name, deviation in noise.items():
            values = [signs[word] + deviation * rng.normal(size=(3, DIM)) for word in words]
            rows.append(
                {
                    "video_id": clip.video_id,
                    "encoder_id": name,
                    "window_starts": list(range(0, 18 * len(words), 6)),
                    "dim": DIM,
                    "features": np.concatenate(values).astype(np.float16).ravel(),
                }
            )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=FEATURES_SCHEMA), folder / "part-00000.parquet")
    encoders = [{"id": name, "path": "none"} for name in noise]
    write_json(folder / INFO_FILE, {"encoders": encoders, "alpha": alpha, "dim": DIM, "corpus": "tiny"})
    return folder
