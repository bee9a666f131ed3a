"""Sign encoders as Ray actors: windows of many clips share batches, one decode serves every encoder."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import ray
import torch
from pydantic import Field
from ray.data import ActorPoolStrategy

from cico_model.clips import windows
from cico_model.config import MAX_WINDOWS, SignEncoderConfig
from cico_model.sign_encoder import SignOutput
from cico_platform.cluster import given_device, is_started_here, node_cores, threads_each
from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.encoding.sign_encoders import load_encoders
from cico_platform.encoding.windows import encoded_windows, window_spans
from cico_platform.pipelines.decode import decode_row, decoded, frames_of, source_rows, with_frames
from cico_platform.pipelines.reuse import StoredFeatures, StoredReader
from cico_platform.pipelines.stored_features import FEATURES_EDITION, flat_spans
from cico_platform.settings import Settings
from cico_platform.steps import content_key

Row = dict[str, Any]
CALIBRATION_CLIPS = 6
TASKS_IN_FLIGHT = 2


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

    def recipe(self, stage: str, encoders: Sequence[str], keys: dict[str, str]) -> str:
        """A name of all that decides a clip's rows but the clip; int8 is calibrated on the others, too."""
        return content_key(
            stage=stage,
            edition=FEATURES_EDITION,
            encoders=list(encoders),
            settings=self.decisive(),
            calibrated=self._calibrated_on(keys),
        )

    def encoding(self, keys: dict[str, str]) -> str:
        """A name of all that decides the features of a clip, but for the clip and the encoder's weights."""
        return content_key(
            edition=FEATURES_EDITION, encoding=self.features_config(), calibrated=self._calibrated_on(keys)
        )

    def features_config(self) -> dict[str, Any]:
        """The settings that decide a clip's features."""
        return self.model_dump(include={"precision", "stride", "windows"})

    def _calibrated_on(self, keys: dict[str, str]) -> dict[str, str]:
        return keys if self.precision == "int8" else {}


class EncodingActor:
    """The actor: encodes the windows of a batch of decoded clips with one or several sign encoders.

    Parameters
    ----------
    folders
        Checkpoints of sign encoders that take frames of one size.
    settings
        See `EncodingSettings`; `threads` is the number to use.
    describe
        A clip's row and each encoder's outputs of its windows, to the row that leaves the actor.
    schema
        Of the rows that leave the actor.
    limit
        Encode at most so many windows of a clip, spread evenly; all of them if None.
    calibration
        For int8.
    device
        Where the networks run; by default on the GPU that Ray gives the actor, if it does.
    """

    def __init__(
        self,
        folders: Sequence[str],
        settings: EncodingSettings,
        describe: Callable[[Row, list[SignOutput]], Row],
        schema: pa.Schema,
        limit: int | None = None,
        calibration: torch.Tensor | None = None,
        device: str | None = None,
    ) -> None:
        torch.set_num_threads(settings.threads)
        device = device or given_device()
        self.settings, self.limit = settings, limit
        self.describe, self.schema, self.stored = describe, schema, StoredReader()
        self.encoders = load_encoders(
            folders, settings.precision, calibration, threads=settings.threads, device=device
        )
        self.config = self.encoders.config

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Clips with `pixels` to what `describe` makes of them, their `window_starts` and `window_times`."""
        rows = batch.drop_columns(["pixels"]).to_pylist()
        videos = [frames_of(pixels.as_buffer(), self.config.resize) for pixels in batch["pixels"]]
        stored = [
            [self.stored(name) for name in row.get("stored") or [""] * len(self.encoders)] for row in rows
        ]
        for row, own in zip(rows, stored, strict=True):
            row["window_starts"], row["window_times"] = self._windows_of(row, own)
            for one in own:
                lacks = {} if one is None else one.shortcomings
                row |= {name: row.get(name) or lack for name, lack in lacks.items()}
        known = [[None if one is None else one.output() for one in own] for own in stored]
        outputs = self.encoders.encode(videos, [row["window_starts"] for row in rows], known)
        described = [self.describe(row, output) for row, output in zip(rows, outputs, strict=True)]
        return pa.Table.from_pylist(described, schema=self.schema)

    def _windows_of(self, row: Row, known: Sequence[StoredFeatures | None]) -> tuple[list[int], list[float]]:
        if row["error"]:
            return [], []
        if row["num_frames"]:
            starts = self.starts(row["num_frames"])
            return starts, flat_spans(window_spans(starts, np.frombuffer(row["boundaries"]).tolist()))
        # Not decoded: every encoder's features are stored.
        return next((stored.starts, stored.times) for stored in known if stored is not None)

    def starts(self, num_frames: int) -> list[int]:
        """First frames of the windows that are encoded of a clip."""
        return encoded_windows(num_frames, self.settings.stride, self.limit)


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


def encode_clips(
    rows: Sequence[Row],
    config: SignEncoderConfig,
    settings: EncodingSettings,
    **actor: Any,
) -> Iterator[list[Row]]:
    """Decode clips and stream them through a pool of encoder actors; yields batches of rows as they come.

    Parameters
    ----------
    rows
        From `source_rows`.
    actor
        What `EncodingActor` takes, but the settings.
    """
    if not rows:
        return
    settings, per_actor = resources(settings)
    if len(rows) <= settings.here and is_started_here() and "num_gpus" not in per_actor:
        yield from _encode_here(rows, config, settings, **actor)
        return
    encoded = decoded(rows, config.resize, settings.decoders, settings.clips).map_batches(
        EncodingActor,
        fn_constructor_kwargs={"settings": settings, **actor},
        batch_size=settings.clips,
        batch_format="pyarrow",
        zero_copy_batch=True,
        compute=ActorPoolStrategy(
            min_size=1,
            max_size=settings.actors,
            initial_size=settings.actors,  # loading a network takes longer than many a corpus
            max_tasks_in_flight_per_actor=TASKS_IN_FLIGHT,
        ),
        **per_actor,
    )
    # Prefetching would hold a batch back that could be written, and is lost when this process is killed.
    for batch in encoded.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield batch.to_pylist()


def _encode_here(
    rows: Sequence[Row], config: SignEncoderConfig, settings: EncodingSettings, **actor: Any
) -> Iterator[list[Row]]:
    """The same in this process; files are still decoded in a process of their own."""
    threads = torch.get_num_threads()
    encoders = EncodingActor(settings=settings, device="cpu", **actor)
    try:
        for first in range(0, len(rows), settings.clips):
            frames = [with_frames(row, config.resize) for row in rows[first : first + settings.clips]]
            yield encoders(pa.Table.from_pylist(frames)).to_pylist()
    finally:
        torch.set_num_threads(threads)


def calibration_windows(
    corpus: Corpus, clips: Sequence[Clip], config: SignEncoderConfig, precision: str
) -> torch.Tensor | None:
    """For int8: the middle window of a few clips, spread over the corpus; None for other precisions."""
    if precision != "int8":
        return None
    cut: list[torch.Tensor] = []
    step = max(1, len(clips) // (4 * CALIBRATION_CLIPS))
    for row in source_rows(corpus, clips[::step]):
        frames, _ = decode_row(row, config.resize)
        if frames is not None:
            starts = encoded_windows(len(frames), limit=None)
            cut.append(windows(frames, [starts[len(starts) // 2]], config))
        if len(cut) == CALIBRATION_CLIPS:
            break
    return torch.cat(cut) if cut else None
