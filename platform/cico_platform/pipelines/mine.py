"""Mining: confident windows of the unlabelled training videos become labelled segments (method 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from cico_model.clips import select_windows
from cico_model.pseudo_labels import CONFIDENCE_THRESHOLD, DROP_WITHIN, merge_windows
from cico_platform.cluster import connect
from cico_platform.corpus.manifest import Corpus
from cico_platform.encoding.mixing import stored_features
from cico_platform.encoding.sign_encoders import read_encoders
from cico_platform.errors import InputError
from cico_platform.pipelines.clip_table import digest_of, read_clips
from cico_platform.pipelines.encoders import EncodedClip, EncodingSettings
from cico_platform.pipelines.encoding_run import EncodingRun, runs_here
from cico_platform.pipelines.output import Output
from cico_platform.pipelines.segments import SEGMENTS_FILE, write_segments
from cico_platform.pipelines.shard_sink import ShardSink
from cico_platform.pipelines.shards import ShardKind
from cico_platform.pipelines.workers import on_workers
from cico_platform.schemas.features import ClipFeatures
from cico_platform.schemas.segments import (
    MINED_SCHEMA,
    SEGMENTS_SCHEMA,
    FoundSegment,
    MinedClip,
    Segment,
    mined_table,
)
from cico_platform.schemas.version import check_version
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, content_key, earlier_outputs, fingerprint, run_step
from cico_platform.storage import Place, absolute, place, read_table

STAGE = "mine"
# Of what is written; another one is mined anew.
EDITION = 6
PARTS_FOLDER = "parts"


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
    clips = read_clips(corpus, "train", settings.here)
    if not len(clips):
        raise InputError(f"'{corpus}' has no unlabelled training clips to mine")
    config, (labels,) = read_encoders([encoder])
    encoder_id, digest = fingerprint(encoder), clips.digest()
    recipe = settings.recipe(f"{STAGE}-{EDITION}", [encoder_id], digest)
    kind = ShardKind(MINED_SCHEMA, recipe, settings.encoding(digest))
    texts = digest_of([source.table(["text"])["text"].take(pa.array(clips.rows))])
    key = content_key(recipe=recipe, clips=digest, texts=texts)

    def body(folder: Place) -> Summary:
        connect()
        parts = folder / PARTS_FOLDER
        output = Output(parts, kind, clips, here=runs_here(len(clips), settings))
        for earlier in earlier_outputs(out, folder):
            output.take_over(earlier / PARTS_FOLDER)
        run = EncodingRun(
            source,
            clips,
            config,
            settings,
            (absolute(encoder),),
            MinedRows(encoder_id, config.feature_dim, tuple(labels), settings),
            ShardSink(absolute(parts), kind),
        )
        output.collect(run.outcomes(output.waiting()), on_progress)
        counts = output.close(STAGE, source)
        write = partial(write_segments, corpus=absolute(source.path), rows=clips.rows)
        ((_, found),) = on_workers(write, [absolute(folder)], output.here)
        return Summary(**counts.outcomes, details={**found, **counts.shortcomings})

    return run_step(out, STAGE, key, body)


@dataclass(frozen=True)
class MinedRows:
    """What is stored of a clip: its segments, and the features of the windows that retrieval uses."""

    encoder_id: str
    dim: int
    labels: tuple[str, ...]
    settings: MineSettings

    def table(self, clips: Sequence[EncodedClip]) -> pa.Table:
        """Rows of `MINED_SCHEMA`; see `Product`."""
        return mined_table([self.mined(clip) for clip in clips], self.dim)

    def mined(self, clip: EncodedClip) -> MinedClip:
        """A clip's segments, from the class scores of its windows."""
        (output,) = clip.outputs
        chosen = select_windows(len(clip.starts), self.settings.windows)
        features = ClipFeatures(
            clip.batch.video_id,
            self.encoder_id,
            [clip.starts[index] for index in chosen],
            [time for index in chosen for time in clip.times[2 * index : 2 * index + 2]],
            stored_features(output, chosen),
            clip.truncated,
            clip.short,
        )
        best = output.logits.softmax(dim=-1).max(dim=-1)
        merged = merge_windows(
            clip.starts,
            best.values.tolist(),
            best.indices.tolist(),
            threshold=self.settings.threshold,
            drop_within=self.settings.drop_within,
        )
        found = [self._found(clip, s.label, s.start, s.end, s.confidence) for s in merged]
        kept = int((best.values > self.settings.threshold).sum())
        return MinedClip(features, len(clip.starts), kept, found)

    def _found(self, clip: EncodedClip, label: int, start: int, end: int, confidence: float) -> FoundSegment:
        # A video shorter than a window ends before its only window does.
        end = min(end, clip.num_frames)
        times = float(clip.boundaries[start]), float(clip.boundaries[end])
        return FoundSegment(self.labels[label], start, end, *times, confidence)


def read_segments(
    folder: str | Place, min_confidence: float = 0.0, min_support: float = 0.0
) -> list[Segment]:
    """The segments that `mine` wrote, without those of less confidence or support.

    Raises
    ------
    InputError
        If there are none.
    """
    path = place(folder) / SEGMENTS_FILE
    if not path.is_file():
        raise InputError(f"'{folder}' holds no {SEGMENTS_FILE}; make it with 'cico mine'")
    table = read_table(path)
    check_version(table.schema.metadata, path)
    if table.schema.names != SEGMENTS_SCHEMA.names:
        raise InputError(f"'{path}' was written by another version; run 'cico mine' again")
    sure = pc.greater_equal(table["confidence"].cast(pa.float64()), min_confidence)
    borne_out = pc.greater_equal(table["support"].cast(pa.float64()), min_support)
    return [Segment(**row) for row in table.filter(pc.and_(sure, borne_out)).to_pylist()]
