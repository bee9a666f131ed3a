"""Drawn manifests of any size for `cico bench scale`: a hundred clips share a file, whose facts are known."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from cico_platform.corpus.clip_keys import file_facts
from cico_platform.corpus.manifest import MANIFEST_FILE, ROWS_PER_GROUP
from cico_platform.schemas.clips import KEY_FIELDS, MANIFEST_SCHEMA
from cico_platform.schemas.version import versioned
from cico_platform.storage import write_table

CLIPS_PER_FILE = 100


def draw_manifest(folder: Path, clips: int) -> Path:
    """Write a corpus as `cico corpus read` leaves it, with files that hold no video; returns its folder."""
    (folder / "videos").mkdir(parents=True)
    paths, facts = [], []
    for number in range(-(-clips // CLIPS_PER_FILE)):
        path = folder / "videos" / f"{number:06d}.mp4"
        path.write_bytes(f"no video {number}".encode())
        paths.append(str(path))
        facts.append(file_facts(str(path)))
    of_file = pa.array(np.arange(clips) // CLIPS_PER_FILE)
    names = pa.array([f"clip-{number:08d}" for number in range(clips)])
    starts = np.arange(clips) % CLIPS_PER_FILE
    known = {
        "video_id": names,
        "text_id": names,
        "split": pa.array(["train"]).take(pa.array(np.zeros(clips, np.int64))),
        "path": pa.array(paths).take(of_file),
        "text": names,
        "text_original": names,
        "start": pa.array(starts.astype(np.float64)),
        "end": pa.array(starts + 1.0),
        "file_version": pa.array([each.version for each in facts]).take(of_file),
        "file_size": pa.array([each.size for each in facts], pa.int64()).take(of_file),
        "file_time": pa.array([each.time for each in facts], pa.int64()).take(of_file),
    }
    fields = [*MANIFEST_SCHEMA, *KEY_FIELDS]
    columns = [known.get(field.name, pa.nulls(clips, field.type)).cast(field.type) for field in fields]
    table = pa.Table.from_arrays(columns, schema=versioned(pa.schema(fields)))
    write_table(folder / MANIFEST_FILE, table, rows_per_group=ROWS_PER_GROUP)
    return folder
