"""Sign encoders as Ray actors: windows of many clips share batches, one decode serves every encoder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import ray
import torch
from numpy.typing import NDArray
from pydantic import Field

from cico_model.config import MAX_WINDOWS
from cico_model.sign_encoder import SignOutput
from cico_platform.cluster import given_device, node_cores, threads_each
from cico_platform.encoding.mixing import stored_features
from cico_platform.encoding.sign_encoders import load_encoders
from cico_platform.encoding.windows import encoded_windows, window_spans
from cico_platform.pipelines.decode import frames_of
from cico_platform.pipelines.reuse import SHORTCOMINGS, StoredFeatures, StoredReader
from cico_platform.pipelines.shard_sink import BatchClip, ShardSink
from cico_platform.pipelines.stored_features import FEATURES_EDITION, flat_spans
from cico_platform.schemas.ledger import DONE, QUARANTINED, LedgerRow
from cico_platform.settings import Settings
from cico_platform.steps import content_key

NOT_FINITE = "its features are not finite in half precision: the encoder's weights may be damaged"


class EncodingSettings(Settings):
    """How sign encoders run.

    Attributes
    ----------
    precision
        As in `cico_model.optimize_for_inference`; "int8" is calibrated on a few of the corpus' clips.
    stride
        Frames from one window to the next; 1 in the paper.
    windows
        Most windows of a video whose features are stored, spread evenly; the towers take 64.
    actors
        Most encoder processes; 0 takes one a GPU, or one a node.
    threads
        CPU threads of each; 0 shares the cores out.
    decoders
        Most processes that decode at the same time; 0 takes one a core.
    clips
        Clips whose windows are batched together: as many are computed again after a kill.
    here
        On a local Ray without a GPU, at most so many clips are encoded in the calling process: workers take
        longer to start than that. 0: never.
    """

    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    stride: int = Field(default=1, ge=1)
    windows: int = Field(default=MAX_WINDOWS, ge=1)
    actors: int = Field(default=0, ge=0)
    threads: int = Field(default=0, ge=0)
    decoders: int = Field(default=0, ge=0)
    clips: int = Field(default=8, ge=1)
    here: int = Field(default=32, ge=0)

    def decisive(self) -> dict[str, Any]:
        """The settings that change what comes out, for a step's key."""
        return self.features_config()

    def recipe(self, stage: str, encoders: Sequence[str], clips: str) -> str:
        """A name of all that decides a clip's rows but the clip; int8 is calibrated on the others, too.

        `clips` names all of them (`ClipTable.digest`).
        """
        return content_key(
            stage=stage,
            edition=FEATURES_EDITION,
            encoders=list(encoders),
            settings=self.decisive(),
            calibrated=self._calibrated_on(clips),
        )

    def encoding(self, clips: str) -> str:
        """A name of all that decides the features of a clip, but for the clip and the encoder's weights."""
        return content_key(
            edition=FEATURES_EDITION, encoding=self.features_config(), calibrated=self._calibrated_on(clips)
        )

    def features_config(self) -> dict[str, Any]:
        """The settings that decide a clip's features."""
        return self.model_dump(include={"precision", "stride", "windows"})

    def _calibrated_on(self, clips: str) -> dict[str, str]:
        return {"clips": clips} if self.precision == "int8" else {}


@dataclass(frozen=True)
class EncodedClip:
    """A clip of a batch, and what the encoders give of it.

    Attributes
    ----------
    error
        Why it could not be decoded or encoded, or empty.
    starts, times
        First frame of each of the W windows; 2 W seconds, begin and end of each window in turn.
    boundaries
        float64 [N + 1] seconds from the clip's start: when each of its N frames appears, and the last one's
        end; empty where it was not decoded.
    outputs
        Of each encoder; none of a clip with an error.
    """

    batch: BatchClip
    path: str
    error: str
    truncated: bool
    short: bool
    num_frames: int
    boundaries: NDArray[np.float64]
    starts: list[int]
    times: list[float]
    outputs: list[SignOutput]

    def ledger_row(self) -> LedgerRow:
        """The clip's row of the ledger."""
        name, key = self.batch.video_id, self.batch.clip_key
        if self.error:
            return LedgerRow(name, key, QUARANTINED, self.error, self.path)
        return LedgerRow(
            name, key, DONE, windows=len(self.starts), truncated=self.truncated, short=self.short
        )


class Product(Protocol):
    """Turns encoded clips into the rows that a pipeline stores."""

    def table(self, clips: Sequence[EncodedClip]) -> pa.Table:
        """Return the rows of clips that have no error, in the schema of the pipeline's shards."""


class EncodingActor:
    """The actor: encodes a batch of decoded clips, and writes what the pipeline stores of them.

    Parameters
    ----------
    folders
        Checkpoints of sign encoders that take frames of one size.
    settings
        See `EncodingSettings`; `threads` is the number to use.
    product, sink
        What is stored of a batch, and where. Without them, only `encode` can be used.
    limit
        Encode at most so many windows of a clip, spread evenly; all of them if None.
    stored
        Shards of features that need not be computed (`StoredPlaces.files`).
    calibration
        For int8.
    device
        Where the networks run; by default on the GPU that Ray gives the actor, if it does.
    """

    def __init__(
        self,
        folders: Sequence[str],
        settings: EncodingSettings,
        product: Product | None = None,
        sink: ShardSink | None = None,
        limit: int | None = None,
        stored: Sequence[str] = (),
        calibration: torch.Tensor | None = None,
        device: str | None = None,
    ) -> None:
        torch.set_num_threads(settings.threads)
        device = device or given_device()
        self.settings, self.limit = settings, limit
        self.product, self.sink, self.stored = product, sink, StoredReader(stored)
        self.encoders = load_encoders(
            folders, settings.precision, calibration, threads=settings.threads, device=device
        )
        self.config = self.encoders.config

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Encode and store clips (`DECODED_SCHEMA`); returns their outcomes (`OUTCOME_SCHEMA`)."""
        if self.product is None or self.sink is None:
            raise ValueError("an actor that stores needs a product and a sink")
        product = self.product

        def compute() -> tuple[pa.Table, list[LedgerRow]]:
            clips = self.encode(batch)
            return product.table([c for c in clips if not c.error]), [c.ledger_row() for c in clips]

        columns = (batch[name].to_pylist() for name in ("position", "video_id", "clip_key"))
        return self.sink.write([BatchClip(*row) for row in zip(*columns, strict=True)], compute)

    def encode(self, batch: pa.Table) -> list[EncodedClip]:
        """Return what the encoders give of decoded clips; the windows of all clips share batches."""
        videos = [frames_of(pixels.as_buffer(), self.config.resize) for pixels in batch["pixels"]]
        rows = batch.drop_columns(["pixels"]).to_pylist()
        clips, known = [], []
        for row in rows:
            none = [-1] * len(self.encoders)
            addresses = zip(row["stored_files"] or none, row["stored_rows"] or none, strict=True)
            known.append([self.stored(number, place) for number, place in addresses])
            clips.append(self._clip(row, known[-1]))
        starts = [clip.starts for clip in clips]
        given = [[None if one is None else one.output() for one in own] for own in known]
        outputs = self.encoders.encode(videos, starts, given)
        return [
            replace(clip, outputs=own, error=clip.error or _fault(own))
            for clip, own in zip(clips, outputs, strict=True)
        ]

    def _clip(self, row: dict[str, Any], known: Sequence[StoredFeatures | None]) -> EncodedClip:
        """The clip without outputs; what stored features know to be lacking counts."""
        boundaries = np.frombuffer(row["boundaries"])
        lacks = {
            name: row[name] or any(one.shortcomings[name] for one in known if one is not None)
            for name in SHORTCOMINGS
        }
        starts, times = (
            self._windows_of(row["num_frames"], boundaries, known) if not row["error"] else ([], [])
        )
        return EncodedClip(
            BatchClip(row["position"], row["video_id"], row["clip_key"]),
            row["path"],
            row["error"],
            lacks["truncated"],
            lacks["short"],
            row["num_frames"],
            boundaries,
            starts,
            times,
            [],
        )

    def _windows_of(
        self, num_frames: int, boundaries: NDArray[np.float64], known: Sequence[StoredFeatures | None]
    ) -> tuple[list[int], list[float]]:
        if num_frames:
            starts = self.starts(num_frames)
            return starts, flat_spans(window_spans(starts, boundaries.tolist()))
        # Not decoded: every encoder's features are stored.
        return next((stored.starts, stored.times) for stored in known if stored is not None)

    def starts(self, num_frames: int) -> list[int]:
        """First frames of the windows that are encoded of a clip."""
        return encoded_windows(num_frames, self.settings.stride, self.limit)


def _fault(outputs: Sequence[SignOutput]) -> str:
    """Why a clip's features cannot be stored; empty if they can."""
    with np.errstate(over="ignore"):  # infinite, then
        finite = all(bool(np.isfinite(stored_features(output)).all()) for output in outputs)
    return "" if finite else NOT_FINITE


def resources(settings: EncodingSettings) -> tuple[EncodingSettings, dict[str, float]]:
    """Settings with every 0 replaced by what this cluster has, and an actor's Ray resources.

    On CPUs the encoder dominates, so each node gets one that uses all its cores beside the decoders.
    """
    gpus = int(ray.cluster_resources().get("GPU", 0))
    nodes = node_cores()
    actors = settings.actors or gpus or len(nodes)
    filled = settings.model_copy(
        update={
            "actors": actors,
            "threads": settings.threads or threads_each(actors),
            "decoders": settings.decoders or sum(nodes),
        }
    )
    return filled, ({"num_gpus": 1.0, "num_cpus": 0.5} if gpus else {"num_cpus": 1.0})
