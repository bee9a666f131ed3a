"""The table of all mined segments, made from the shards of mining by one worker."""

from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from cico_model.text_support import Detection, text_support
from cico_platform.corpus.manifest import Corpus
from cico_platform.corpus.manifest_rows import Rows
from cico_platform.pipelines.shards import PART
from cico_platform.schemas.segments import MINED_SCHEMA, SEGMENTS_SCHEMA
from cico_platform.schemas.version import versioned
from cico_platform.shard_output import attempt
from cico_platform.storage import Place, matching, place, read_table, write_table

SEGMENTS_FILE = "segments.parquet"
COLUMNS = ("video_id", "windows", "kept", "segments")


def write_segments(folder: str, corpus: str, rows: Rows) -> dict[str, float]:
    """Join the segments of `FOLDER/parts`, judge each by the sentences, and write `FOLDER/segments.parquet`.

    Parameters
    ----------
    rows
        Numbers of the mined clips' rows in the manifest: all their texts decide the support of a segment.

    Returns
    -------
    dict
        `segments`, `labels` found, `windows`, and `kept_share` of them.
    """
    out, clips = place(folder), Corpus(corpus).table(["video_id", "text"]).take(pa.array(rows))
    tables = [attempt(out, partial(read_table, path, COLUMNS)) for path in _parts(out)]
    mined = pa.concat_tables(tables) if tables else MINED_SCHEMA.empty_table().select(COLUMNS)
    found = _flat(mined).sort_by("video_id")
    videos = pc.index_in(found["video_id"], value_set=clips["video_id"].combine_chunks())
    labels = found["label"].combine_chunks().dictionary_encode()
    numbers = zip(
        videos.to_pylist(), labels.indices.to_pylist(), found["confidence"].to_pylist(), strict=True
    )
    support = text_support([Detection(*each) for each in numbers], clips["text"].to_pylist())
    found = found.append_column("support", pa.array(support, pa.float32()))
    table = pa.table([found[name] for name in SEGMENTS_SCHEMA.names], schema=versioned(SEGMENTS_SCHEMA))
    attempt(out, lambda: write_table(out / SEGMENTS_FILE, table))
    windows, kept = (int(pc.sum(mined[name]).as_py() or 0) for name in ("windows", "kept"))
    return {
        "segments": len(found),
        "labels": len(labels.dictionary),
        "windows": windows,
        "kept_share": round(kept / max(windows, 1), 4),
    }


def _parts(folder: Place) -> list[Place]:
    return attempt(folder, lambda: matching(folder / "parts", f"{PART}-*.parquet"))


def _flat(mined: pa.Table) -> pa.Table:
    """A row a segment, with the name of its clip."""
    segments = mined["segments"].combine_chunks()
    segments = segments if isinstance(segments, pa.Array) else pa.concat_arrays(segments.chunks)
    parents = pc.list_parent_indices(segments)
    flat = segments.flatten()
    fields = {field.name: pc.struct_field(flat, field.name) for field in flat.type}
    return pa.table({"video_id": mined["video_id"].take(parents), **fields})
