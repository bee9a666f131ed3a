"""Mining: confident windows of the unlabelled training videos become labelled segments (method 3)."""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from cico_model.clips import select_windows
from cico_model.pseudo_labels import CONFIDENCE_THRESHOLD, DROP_WITHIN, merge_windows
from cico_model.sign_encoder import SignOutput
from cico_model.text_support import Detection, text_support
from cico_platform.cluster import connect
from cico_platform.corpus.clip_keys import clip_keys
from cico_platform.corpus.manifest import Corpus
from cico_platform.encoding.mixing import stored_features
from cico_platform.encoding.sign_encoders import read_encoders
from cico_platform.errors import InputError
from cico_platform.pipelines.decode import SHORTCOMINGS, source_rows
from cico_platform.pipelines.encoders import EncodingSettings, calibration_windows, encode_clips
from cico_platform.pipelines.parts import Parts, collect, settle, shortcomings
from cico_platform.pipelines.stored_features import FEATURES_SCHEMA
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, content_key, earlier_outputs, fingerprint, run_step
from cico_platform.storage import Place, absolute, place, read_table, write_table

Row = dict[str, Any]
STAGE = "mine"
# Of what is written; another one is mined anew.
EDITION = 6
PARTS_FOLDER = "parts"
SEGMENTS_FILE = "segments.parquet"
SEGMENTS_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("start_time", pa.float64(), nullable=False),
        pa.field("end_time", pa.float64(), nullable=False),
        pa.field("confidence", pa.float32(), nullable=False),
        pa.field("support", pa.float32(), nullable=False),
    ]
)
# A clip's segments, and the features that `cico features` would compute with the same encoder.
PARTS_SCHEMA = pa.schema(
    [
        *FEATURES_SCHEMA,
        pa.field("windows", pa.int32()),
        pa.field("kept", pa.int32()),
        pa.field("segments", pa.list_(pa.struct(list(SEGMENTS_SCHEMA)[1:7]))),
    ]
)
SEGMENT_COLUMNS = ("video_id", "windows", "kept", "segments")
# What leaves an encoder actor: float16 features as bytes.
FOUND_SCHEMA = pa.schema(
    [
        *(PARTS_SCHEMA.field(name) for name in ("video_id", "windows", "kept", "segments")),
        pa.field("path", pa.string()),
        pa.field("error", pa.string()),
        pa.field("window_starts", pa.list_(pa.int32())),
        pa.field("window_times", pa.list_(pa.float64())),
        pa.field("features", pa.binary()),
        pa.field("truncated", pa.bool_()),
        pa.field("short", pa.bool_()),
    ]
)


class MineSettings(EncodingSettings):
    """How pseudo-labels are mined.

    Attributes
    ----------
    threshold
        A window counts if its best sign has a greater probability.
    drop_within
        Frames around a segment in which no second one of the same sign opens.
    """

    threshold: float = Field(default=CONFIDENCE_THRESHOLD, ge=0.0, lt=1.0)
    drop_within: int = Field(default=DROP_WITHIN, ge=0)

    def decisive(self) -> dict[str, Any]:
        """The settings that change what comes out."""
        return {**super().decisive(), "threshold": self.threshold, "drop_within": self.drop_within}


def mine(
    corpus: str | Place,
    encoder: str | Place,
    out: str | Place,
    settings: MineSettings | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Find signs in the training sentences with a sign encoder that knows them from elsewhere.

    Writes `segments.parquet`: `video_id, label, start, end, start_time, end_time, confidence, support`:
    frames of the clip, end exclusive, and the same in seconds from the clip's start. The
    support says how well the sentences bear a segment out (see `cico_model.text_support`). `parts/` keeps
    what was found clip by clip: clips that have not changed are not mined again. It also has the features of
    the windows that retrieval uses: `cico features --reuse` takes them instead of computing them again.

    Parameters
    ----------
    corpus
        Corpus folder; its training clips without a label are mined.
    encoder
        Checkpoint of the (domain-agnostic) sign encoder.
    out
        Output folder.

    Returns
    -------
    Summary
        Details: `segments`, `labels` found, `windows`, `kept_share` of them, and how many clips are
        `truncated` and `short`.

    Raises
    ------
    InputError
        If there is nothing to mine, or no sign encoder.
    """
    settings, source = settings or MineSettings(), Corpus(corpus)
    clips = source.clips(split="train", labelled=False)
    if not clips:
        raise InputError(f"'{corpus}' has no unlabelled training clips to mine")
    config, (labels,) = read_encoders([encoder])
    encoder_id = fingerprint(encoder)
    keys, texts = clip_keys(source, clips), {clip.video_id: clip.text for clip in clips}
    recipe = settings.recipe(f"{STAGE}-{EDITION}", [encoder_id], keys)
    key = content_key(recipe=recipe, clips=keys, texts=texts)

    def body(folder: Place) -> Summary:
        connect()
        parts = Parts(folder / PARTS_FOLDER, PARTS_SCHEMA, recipe, keys, settings.encoding(keys))
        for earlier in earlier_outputs(out, folder):
            parts.take_over(earlier / PARTS_FOLDER)
        found = encode_clips(
            parts.pending(source_rows(source, clips)),
            config,
            settings,
            folders=[absolute(encoder)],
            describe=partial(find_segments, labels=labels, settings=settings),
            schema=FOUND_SCHEMA,
            calibration=calibration_windows(source, clips, config, settings.precision),
        )
        collect(found, parts, partial(parts_row, encoder_id=encoder_id, dim=config.feature_dim), on_progress)
        counts = settle(parts, source, STAGE)
        details = {**_write_segments(folder, parts, texts), **shortcomings(parts)}
        return Summary(**counts, details=details)

    return run_step(out, STAGE, key, body)


def find_segments(row: Row, outputs: list[SignOutput], labels: list[str], settings: MineSettings) -> Row:
    """A clip's segments, from the class scores of its windows, and the features of those for retrieval."""
    result: Row = {name: row[name] for name in ("video_id", "path", "error", *SHORTCOMINGS)}
    starts = row["window_starts"]
    result |= {
        "windows": len(starts),
        "kept": 0,
        "segments": [],
        "window_starts": [],
        "window_times": [],
        "features": b"",
    }
    if row["error"]:
        return result
    chosen = select_windows(len(starts), settings.windows)
    result["window_starts"] = [starts[index] for index in chosen]
    times = row["window_times"]
    result["window_times"] = [time for index in chosen for time in times[2 * index : 2 * index + 2]]
    result["features"] = stored_features(outputs[0], chosen).tobytes()
    best = outputs[0].logits.softmax(dim=-1).max(dim=-1)
    segments = merge_windows(
        starts,
        best.values.tolist(),
        best.indices.tolist(),
        threshold=settings.threshold,
        drop_within=settings.drop_within,
    )
    boundaries = np.frombuffer(row["boundaries"]).tolist()
    # A video shorter than a window ends before its only window does.
    result["segments"] = [
        {
            "label": labels[s.label],
            "start": s.start,
            "end": min(s.end, row["num_frames"]),
            "start_time": boundaries[s.start],
            "end_time": boundaries[min(s.end, row["num_frames"])],
            "confidence": s.confidence,
        }
        for s in segments
    ]
    result["kept"] = int((best.values > settings.threshold).sum())
    return result


def parts_row(row: Row, encoder_id: str, dim: int) -> list[Row]:
    """A clip's row of `PARTS_SCHEMA`, from what `find_segments` says of it."""
    features = np.frombuffer(row["features"], dtype=np.float16)
    return [{**row, "encoder_id": encoder_id, "dim": dim, "features": features}]


def read_segments(folder: str | Place) -> list[Row]:
    """The segments that `mine` wrote.

    Raises
    ------
    InputError
        If there are none.
    """
    path = place(folder) / SEGMENTS_FILE
    if not path.is_file():
        raise InputError(f"'{folder}' holds no {SEGMENTS_FILE}; make it with 'cico mine'")
    table = read_table(path)
    if table.schema.names != SEGMENTS_SCHEMA.names:
        raise InputError(f"'{path}' was written by another version; run 'cico mine' again")
    rows: list[Row] = table.to_pylist()
    return rows


def _write_segments(folder: Place, parts: Parts, texts: dict[str, str]) -> dict[str, Any]:
    table = pa.concat_tables([read_table(shard, SEGMENT_COLUMNS) for shard in parts.shards()])
    rows = [
        {"video_id": row["video_id"], **segment}
        for row in sorted(table.to_pylist(), key=lambda row: str(row["video_id"]))
        for segment in row["segments"]
    ]
    signs = {name: number for number, name in enumerate(sorted({row["label"] for row in rows}))}
    places = {name: number for number, name in enumerate(texts)}
    detections = [Detection(places[row["video_id"]], signs[row["label"]], row["confidence"]) for row in rows]
    for row, support in zip(rows, text_support(detections, list(texts.values())), strict=True):
        row["support"] = support
    write_table(folder / SEGMENTS_FILE, pa.Table.from_pylist(rows, schema=SEGMENTS_SCHEMA))
    windows, kept = (int(pc.sum(table[name]).as_py()) for name in ("windows", "kept"))
    return {
        "segments": len(rows),
        "labels": len(signs),
        "windows": windows,
        "kept_share": round(kept / max(windows, 1), 4),
    }
