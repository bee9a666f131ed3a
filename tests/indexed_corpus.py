"""A corpus without videos, its features and models, to be indexed; and all that a collection holds."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from small_collections import WORDS, make_model

from cico_platform.corpus.manifest import Clip, write_manifest
from cico_platform.index.base import VectorIndex
from cico_platform.index.embedded import EmbeddedIndex
from cico_platform.index.token_store.compaction import unused_files
from cico_platform.pipelines.ledgers import write_clips
from cico_platform.pipelines.stored_features import INFO_FILE
from cico_platform.schemas.features import FEATURES_SCHEMA
from cico_platform.schemas.ledger import DONE, LedgerRow, ledger_table
from cico_platform.steps import write_json

FEATURE_DIM, TOKEN_DIM = 8, 16
ENCODER = "encoder-a"


class Material(NamedTuple):
    """Folders of a corpus, its features, and a retrieval model."""

    corpus: Path
    features: Path
    model: Path


def make_material(folder: Path, clips: int = 100) -> Material:
    """So many clips of one to nine windows, in four shards of features with several row groups each."""
    rng = np.random.default_rng(0)
    names = [f"clip-{number:03d} ü" for number in range(clips)]
    said = [" ".join(rng.choice(WORDS, 3, replace=False)) + f" {number}" for number in range(clips)]
    made = [
        Clip(name, f"text-{text}", "train", f"videos/{name}.mp4", text, text, fps=25.0)
        for name, text in zip(names, said, strict=True)
    ]
    write_manifest(folder / "corpus", made)
    (folder / "encoder").mkdir(parents=True)
    (folder / "encoder" / "weights").write_bytes(b"none")
    (folder / "features").mkdir()
    every = []
    for number in range(4):
        rows = [_features(name, rng) for name in names[number::4]]
        every += rows
        table = pa.Table.from_pylist(rows, schema=FEATURES_SCHEMA)
        pq.write_table(table, folder / "features" / f"part-{number:05d}.parquet", row_group_size=10)
    ledger = [LedgerRow(row["video_id"], "key", DONE, windows=len(row["window_starts"])) for row in every]
    write_clips(folder / "features", ledger_table(ledger), "drawn", "drawn")
    encoders = [{"id": ENCODER, "path": str(folder / "encoder")}]
    about = {"encoders": encoders, "alpha": 1.0, "dim": FEATURE_DIM, "corpus": "corpus"}
    write_json(folder / "features" / INFO_FILE, about)
    make_model(folder / "model", TOKEN_DIM, feature_dim=FEATURE_DIM)
    return Material(folder / "corpus", folder / "features", folder / "model")


def _features(name: str, rng: np.random.Generator) -> dict[str, Any]:
    windows = int(rng.integers(1, 10))
    values = rng.normal(size=(windows, FEATURE_DIM)).astype(np.float16)
    return {
        "video_id": name,
        "encoder_id": ENCODER,
        "window_starts": list(range(0, 5 * windows, 5)),
        "dim": FEATURE_DIM,
        "features": values.ravel(),
    }


def content(index: VectorIndex, collection: str) -> dict[str, tuple[dict[str, object], bytes]]:
    """Payload and tokens of each clip; each is there once."""
    hits = list(index.fetch(collection, tokens=True))
    found = {hit.video_id: (hit.payload, np.asarray(hit.tokens).tobytes()) for hit in hits}
    assert len(found) == len(hits) == index.count(collection)
    return found


def left_over(index: VectorIndex, collection: str) -> list[str]:
    """Files of a collection's tokens that nothing needs."""
    assert index.folders([collection])
    (folder,) = index.folders([collection])
    if isinstance(index, EmbeddedIndex):
        folder = folder / "collections" / collection / "tokens"
    return [name for names in unused_files(folder).values() for name in names]
