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
        import nncf  # noqa: F401  (a library, not this side's memory)
    import openvino  # noqa: F401

    clips = _clips(task, "clips")
    calibration = _clips(task, "calibration") if precision == "int8" else None
    begin()
    encoder, _ = load_sign_encoder(task.folder / "encoder")
    fast = optimize_for_inference(encoder, precision, calibration, threads=task.threads)

    def run() -> Outputs:
        output = fast(clips)
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
    from cico_platform.pipelines.stored_features import FEATURES_SCHEMA

    encoders = _actor(task, begin, limit=MAX_WINDOWS)

    def run() -> Outputs:
        starts, output = _encode(encoders, task.folder / "video.mp4")
        values = output.embedding.numpy().astype(np.float16)
        row = {"video_id": "video", "encoder_id": "encoder", "window_starts": starts, "dim": values.shape[1]}
        table = pa.Table.from_pylist([{**row, "features": values.ravel()}], schema=FEATURES_SCHEMA)
        pq.write_table(table, task.folder / "features.parquet")
        return {"starts": np.asarray(starts), "embedding": values.astype(np.float32)}

    return Work(run, lambda: encoders.encoders[0](_clips(task, "clips")[:1]))


def our_mining(task: Task, begin: Begin) -> Work:
    """A video file to labelled segments, from every window, as `cico mine` does it."""
    from cico_platform.pipelines.mine import PARTS_SCHEMA, MineSettings, find_segments

    encoders = _actor(task, begin, limit=None)
    _, labels = load_sign_encoder(task.folder / "encoder")
    settings = MineSettings(precision="bfloat16", threads=task.threads)

    def run() -> Outputs:
        starts, output = _encode(encoders, task.folder / "video.mp4")
        row: dict[str, Any] = {"video_id": "video", "path": "", "error": "", "window_starts": starts}
        row["num_frames"] = starts[-1] + WINDOW_FRAMES
        found = find_segments(row, [output], labels, settings)
        kept = {name: found[name] for name in PARTS_SCHEMA.names}
        pq.write_table(pa.Table.from_pylist([kept], schema=PARTS_SCHEMA), task.folder / "mined.parquet")
        return {
            "starts": np.asarray(starts),
            "logits": output.logits.numpy(),
            "embedding": output.embedding.numpy(),
        }

    return Work(run, lambda: encoders.encoders[0](_clips(task, "clips")[:1]))


def _clips(task: Task, name: str) -> Tensor:
    return torch.from_numpy(np.load(task.folder / f"{name}.npy"))


def _plain_network(module: Any, task: Task) -> Any:
    state = load_file(task.folder / "encoder" / "model.safetensors")
    classes = len(state["logits.conv3d.bias"])
    network = module.PlainI3D(classes, task.values["width"], task.values["frame_size"])
    network.load_state_dict(state)
    return network.eval()


def _actor(task: Task, begin: Begin, limit: int | None) -> Any:
    """The pipelines' encoder, without Ray around it."""
    import openvino  # noqa: F401

    from cico_platform.pipelines.encoders import EncodingSettings, SignEncoders

    begin()
    settings = EncodingSettings(precision="bfloat16", threads=task.threads)
    return SignEncoders(
        [str(task.folder / "encoder")], settings, lambda row, _: row, pa.schema([]), limit=limit
    )


def _encode(encoders: Any, video: Path) -> tuple[list[int], Any]:
    from cico_platform.corpus.video import decode_clip

    frames = decode_clip(video, size=encoders.config.resize).frames
    starts: list[int] = encoders.starts(len(frames))
    (outputs,) = encoders.encode([frames], [starts])
    return starts, outputs[0]
