"""Sentences of a small language, with the features that a good sign encoder gives; no videos."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cico_platform.corpus.manifest import Clip, Split, write_manifest
from cico_platform.pipelines.stored_features import INFO_FILE
from cico_platform.schemas.features import FEATURES_SCHEMA
from cico_platform.steps import write_json

DIM = 16
WORDS = (
    "bird",
    "book",
    "house",
    "rain",
    "river",
    "school",
    "sister",
    "street",
    "teacher",
    "tree",
    "winter",
    "work",
)


def write_word_features(folder: Path, train: int = 96, held_out: int = 24) -> tuple[Path, Path]:
    """A corpus folder (a manifest only) and its features; each word has its own direction, and noise."""
    rng = np.random.default_rng(0)
    directions = {word: rng.normal(size=DIM) for word in WORDS}
    clips, rows, seen = [], [], set[str]()
    splits: list[tuple[Split, int]] = [("train", train), ("validation", held_out), ("test", held_out)]
    for split, count in splits:
        made = 0
        while made < count:
            words = [WORDS[i] for i in rng.integers(0, len(WORDS), int(rng.integers(3, 6)))]
            text = " ".join(words)
            if text in seen:
                continue
            seen.add(text)
            name = f"{split}-{made:03d}"
            clips.append(Clip(name, f"t-{name}", split, f"videos/{name}.mp4", text, text.capitalize()))
            values = np.concatenate([directions[word] + 0.3 * rng.normal(size=(3, DIM)) for word in words])
            rows.append(
                {
                    "video_id": name,
                    "encoder_id": "good",
                    "window_starts": list(range(0, 6 * len(values), 6)),
                    "dim": DIM,
                    "features": values.astype(np.float16).ravel(),
                }
            )
            made += 1
    corpus, features = folder / "corpus", folder / "features"
    for made_folder in (corpus, features):
        made_folder.mkdir(parents=True)
    write_manifest(corpus, clips)
    pq.write_table(pa.Table.from_pylist(rows, schema=FEATURES_SCHEMA), features / "part-00000.parquet")
    info = {"encoders": [{"id": "good", "path": "none"}], "alpha": 1.0, "dim": DIM, "corpus": "words"}
    write_json(features / INFO_FILE, info)
    return corpus, features
