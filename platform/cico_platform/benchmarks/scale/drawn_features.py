"""Drawn corpora of any size for `cico bench scale`: a manifest, and a feature store of sparse files."""

import os
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from cico_platform.corpus.manifest import MANIFEST_FILE, MANIFEST_SCHEMA
from cico_platform.pipelines.stored_features import INFO_FILE
from cico_platform.steps import STEP_FILE, content_key, write_json
from cico_platform.storage import write_table
from cico_platform.training.data.feature_source import describe_source, store_folder
from cico_platform.training.data.feature_store_files import (
    CHECKED_WHOLE,
    CHECKSUMS,
    FEATURES,
    FILES,
    HEADER_FILE,
    ID_OFFSETS,
    IDS,
    OFFSETS,
    STARTS,
    Header,
    LeftOut,
    file_checksum,
)

# The paper's: windows of a clip, and their width.
WINDOWS, DIM = 64, 1024
ENCODER = "drawn"
# Of a hundred clips, so many say what another one says.
REPEATED = 5
WORDS = ("bird", "book", "house", "rain", "river", "school", "sister", "street", "teacher", "tree")


def draw_corpus(folder: Path, clips: int) -> tuple[Path, Path]:
    """Write a corpus (a manifest) and its features (a store, whose features are all zero).

    Returns
    -------
    tuple
        The folders of both.
    """
    corpus, features = folder / f"corpus-{clips}", folder / f"features-{clips}"
    corpus.mkdir()
    features.mkdir()
    write_table(corpus / MANIFEST_FILE, _manifest(clips))
    about = {"encoders": [{"id": ENCODER, "path": "none"}], "alpha": 1.0, "dim": DIM, "corpus": "drawn"}
    write_json(features / INFO_FILE, about)
    write_json(features / STEP_FILE, {"name": "features", "key": content_key(clips=clips), "summary": {}})
    key = describe_source(features).key
    _write_store(store_folder(features, key), key, clips)
    return corpus, features


def names_of(clips: int) -> list[str]:
    """The clips' names, in order."""
    return [f"clip-{number:08d}" for number in range(clips)]


def _manifest(clips: int) -> pa.Table:
    """Sentences of eight words, five in a hundred said twice; columns that nobody needs here are null."""
    numbers = np.arange(clips)
    numbers[numbers % 100 < REPEATED] //= 2
    words = [[WORDS[digit] for digit in map(int, f"{number:08d}")] for number in numbers.tolist()]
    texts = [" ".join(sentence) for sentence in words]
    names = names_of(clips)
    known = {
        "video_id": names,
        "text_id": [f"text-{number}" for number in numbers.tolist()],
        "split": ["train"] * clips,
        "path": [f"videos/{name}.mp4" for name in names],
        "text": texts,
        "text_original": texts,
    }
    columns = [
        pa.array(known[field.name], field.type) if field.name in known else pa.nulls(clips, field.type)
        for field in MANIFEST_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=MANIFEST_SCHEMA)


def _write_store(folder: Path, key: str, clips: int) -> None:
    """Write a whole store; nothing but its index takes room on the disk."""
    folder.mkdir()
    for name, size in ((FEATURES, 2 * clips * WINDOWS * DIM), (STARTS, 4 * clips * WINDOWS)):
        (folder / name).touch()
        os.truncate(folder / name, size)
    encoded = "".join(names_of(clips)).encode()
    (folder / IDS).write_bytes(encoded)
    (np.arange(clips + 1, dtype=np.int64) * (len(encoded) // clips)).tofile(folder / ID_OFFSETS)
    (np.arange(clips + 1, dtype=np.int64) * WINDOWS).tofile(folder / OFFSETS)
    checksum = zlib.crc32(bytes(WINDOWS * (4 + 2 * DIM)))
    np.full(clips, checksum, dtype=np.uint32).tofile(folder / CHECKSUMS)
    sizes = {name: (folder / name).stat().st_size for name in FILES}
    checksums = {name: file_checksum(folder / name) for name in CHECKED_WHOLE}
    header = Header(key, DIM, [ENCODER], clips, clips * WINDOWS, sizes, checksums, LeftOut())
    write_json(folder / HEADER_FILE, header.as_json())
