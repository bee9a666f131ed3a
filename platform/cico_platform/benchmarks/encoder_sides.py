"""The sides of `cico bench sign-encoder`; each runs in a process of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from torch import Tensor

from cico_model.checkpoint import load_sign_encoder
from cico_model.config import MAX_WINDOWS, WINDOW_FRAMES
from cico_model.inference import optimize_for_inference
from cico_model.quiet_imports import import_nncf, import_openvino
from cico_platform.benchmarks.plain import load_plain
from cico_platform.benchmarks.settings import Task
from cico_platform.benchmarks.side import Outputs, Work

Begin = Callable[[], None]


def plain_windows(task: Task, begin: Begin) -> Work:
    """Windows by the published network, eager, float32."""
    module, clips = load_plain("plain_sign_encoder"), _clips(task, "clips")
    begin()
    network = _plain_network(module, task)

    def run() -> Outputs:
        scores, features = module.encode(network, clips)
        return {"logits": scores.numpy(), "embedding": features.numpy()}

    return Work(run, run)


def our_windows(task: Task, begin: Begin) -> Work:
    """Windows by `optimize_for_inference` in `task.values["precision"]`."""
    precision = task.values["precision"]
    if precision == "int8":
        import_nncf()  # a library, not this side's memory
    _load_engine(task)
    clips = _clips(task, "clips")
    calibration = _clips(task, "calibration") if precision == "int8" else None
    begin()
    encoder, _ = load_sign_encoder(task.folder / "encoder")
    fast = optimize_for_inference(encoder.to(task.device), precision, calibration, threads=task.threads)

    def run() -> Outputs:
        output = fast(clips)
        return {"logits": output.logits.numpy(), "embedding": output.embedding.numpy()}

    return Work(run, run)


def plain_frames(task: Task, begin: Begin) -> Work:
    """Every window of a video that is decoded already, the plain way."""
    module = load_plain("plain_sign_encoder")
    video = module.read_video(str(task.folder / "video.mp4"), task.values["resize"])
    begin()
    network, size = _plain_network(module, task), task.values["frame_size"]

    def run() -> Outputs:
        scores, features = module.encode(network, module.every_window(video, size))
        return {"logits": scores.numpy(), "embedding": features.numpy()}

    return Work(run, run)


def our_frames(task: Task, begin: Begin) -> Work:
    """Every window of a video that is decoded already, by `InferenceEncoder.encode`."""
    from cico_model.clips import window_starts
    from cico_platform.corpus.video import decode_clip

    _load_engine(task)
    frames = decode_clip(task.folder / "video.mp4", size=task.values["resize"]).frames
    begin()
    encoder, _ = load_sign_encoder(task.folder / "encoder")
    fast = optimize_for_inference(encoder.to(task.device), "bfloat16", threads=task.threads)

    def run() -> Outputs:
        (output,) = fast.encode([frames], [window_starts(len(frames))])
        return {"logits": output.logits.numpy(), "embedding": output.embedding.numpy()}

    return Work(run, run)


def plain_video(task: Task, begin: Begin) -> Work:
    """A video file to stored features and scores of every window, the plain way."""
    module, clips = load_plain("plain_sign_encoder"), _clips(task, "clips")
    begin()
    network = _plain_network(module, task)
    resize, size = task.values["resize"], task.values["frame_size"]

    def run() -> Outputs:
        scores, features = module.encode_video(network, str(task.folder / "video.mp4"), resize, size)
        np.save(task.folder / "plain-features.npy", features.numpy())
        return {"logits": scores.numpy(), "embedding": features.numpy()}

    return Work(run, lambda: module.encode(network, clips[: module.BATCH]))


def our_features(task: Task, begin: Begin) -> Work:
    """A video file to stored features of the windows that retrieval uses, as `cico features` does it."""
    from cico_platform.schemas.features import FEATURES_SCHEMA

    actor = _actor(task, begin, limit=MAX_WINDOWS)

    def run() -> Outputs:
        starts, output = _encode(actor, task.folder / "video.mp4")
        values = output.embedding.numpy().astype(np.float16)
        row = {"video_id": "video", "encoder_id": "encoder", "window_starts": starts, "dim": values.shape[1]}
        table = pa.Table.from_pylist([{**row, "features": values.ravel()}], schema=FEATURES_SCHEMA)
        pq.write_table(table, task.folder / "features.parquet")
        return {"starts": np.asarray(starts), "embedding": values.astype(np.float32)}

    return Work(run, lambda: _warm_up(actor, sparse=True))


def our_mining(task: Task, begin: Begin) -> Work:
    """A video file to labelled segments, from every window, as `cico mine` does it."""
    from cico_platform.pipelines.encoders import EncodedClip
    from cico_platform.pipelines.mine import MinedRows, MineSettings
    from cico_platform.pipelines.shard_sink import BatchClip

    actor = _actor(task, begin, limit=None)
    _, labels = load_sign_encoder(task.folder / "encoder")
    settings = MineSettings(precision="bfloat16", threads=task.threads)
    product = MinedRows("encoder", actor.config.feature_dim, tuple(labels), settings)

    def run() -> Outputs:
        starts, output = _encode(actor, task.folder / "video.mp4")
        frames = starts[-1] + WINDOW_FRAMES
        times = [float(time) for start in starts for time in (start, start + WINDOW_FRAMES)]
        name, boundaries = BatchClip(0, "video", ""), np.arange(frames + 1.0)
        clip = EncodedClip(name, "", "", False, False, frames, boundaries, starts, times, [output])
        pq.write_table(product.table([clip]), task.folder / "mined.parquet")
        return {
            "starts": np.asarray(starts),
            "logits": output.logits.numpy(),
            "embedding": output.embedding.numpy(),
        }

    return Work(run, lambda: _warm_up(actor, sparse=False))


def _clips(task: Task, name: str) -> Tensor:
    return torch.from_numpy(np.load(task.folder / f"{name}.npy"))


def _plain_network(module: Any, task: Task) -> Any:
    state = load_file(task.folder / "encoder" / "model.safetensors")
    classes = len(state["logits.conv3d.bias"])
    network = module.PlainI3D(classes, task.values["width"], task.values["frame_size"])
    network.load_state_dict(state)
    return network.eval().to(task.device)


def _actor(task: Task, begin: Begin, limit: int | None) -> Any:
    """The pipelines' encoder, without Ray around it."""
    _load_engine(task)

    from cico_platform.pipelines.encoders import EncodingActor, EncodingSettings

    begin()
    settings = EncodingSettings(precision="bfloat16", threads=task.threads)
    return EncodingActor(
        [str(task.folder / "encoder")],
        settings,
        limit=limit,
        device=task.device,
    )


def _warm_up(actor: Any, sparse: bool) -> None:
    """Windows that lie apart, or close together, are encoded each in its own way: compile it."""
    frames = np.zeros((48, actor.config.resize, actor.config.resize, 3), np.uint8)
    actor.encoders.encode([frames], [[0] if sparse else list(range(32))])


def _load_engine(task: Task) -> None:
    """What is a library, not this side's memory."""
    if task.device == "cpu":
        import_openvino()
    else:
        torch.zeros(1, device=task.device)


def _encode(actor: Any, video: Path) -> tuple[list[int], Any]:
    from cico_platform.corpus.video import decode_clip

    frames = decode_clip(video, size=actor.config.resize).frames
    starts: list[int] = actor.starts(len(frames))
    (outputs,) = actor.encoders.encode([frames], [starts])
    return starts, outputs[0]
