"""What the sign encoder is measured on: a network, windows of sign videos, a video of 175 frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cico_model.checkpoint import load_sign_encoder, save_sign_encoder
from cico_model.clips import window_starts, windows
from cico_model.config import SIGN_ENCODERS, SignEncoderConfig
from cico_model.inference import SMALL_FRAME
from cico_model.sign_encoder import SignEncoder
from cico_platform.benchmarks.settings import BenchSettings
from cico_platform.corpus.encode import write_video
from cico_platform.corpus.video import ClipError, decode_clip
from cico_platform.errors import InputError

Frames = NDArray[np.uint8]
# The mean length of How2Sign's videos.
VIDEO_FRAMES = 175
FPS = 25.0
SUFFIXES = {".mp4", ".webm", ".mkv", ".avi"}
CLIPS = 8
CALIBRATION_CLIPS = 6
# Classes of the published domain-agnostic encoder; and the network of a quick run.
CLASSES = 5383
QUICK = SignEncoderConfig("quick", 0.25, 56)
QUICK_CLASSES = 50


@dataclass(frozen=True)
class Material:
    """What lies in the work folder: `encoder/`, `clips.npy`, `calibration.npy`, `video.mp4`.

    Attributes
    ----------
    config
        Size of the network.
    windows
        Number of windows in `clips.npy`.
    source
        Where the pictures come from, for people.
    """

    config: SignEncoderConfig
    windows: int
    source: str


def prepare_material(folder: Path, settings: BenchSettings) -> Material:
    """Write network, windows and video into the work folder.

    Calibration and measurement never see the same video: the first eight are measured, six calibrate.

    Raises
    ------
    InputError
        If `settings.videos` holds too few videos that can be decoded, or `settings.encoder` no sign encoder.
    """
    encoder, labels = _encoder(settings)
    config = encoder.config
    videos = list(_videos(config.resize, settings))
    measured, calibrating = videos[:CLIPS], videos[CLIPS:]
    frames = looped(measured, VIDEO_FRAMES)
    odd = config.resize % 2  # H.264 wants even sides
    frames = np.pad(frames, ((0, 0), (0, odd), (0, odd), (0, 0)), "edge")
    write_video(folder / "video.mp4", frames, FPS, crf=16)
    clips = {"clips": measured, "calibration": calibrating}
    each = 16 if settings.device == "cuda" else 4 if config.frame_size <= SMALL_FRAME else 1
    cut = {n: torch.cat([_inner_windows(v, each, config) for v in chosen]) for n, chosen in clips.items()}
    for name, values in cut.items():
        np.save(folder / f"{name}.npy", values.numpy())
    save_sign_encoder(folder / "encoder", encoder, labels)
    source = f"clips of {settings.videos.name}" if settings.videos else "drawn clips"
    return Material(config, len(cut["clips"]), source)


@torch.no_grad()
def drawn_encoder(classes: int, config: SignEncoderConfig, seed: int) -> SignEncoder:
    """A network with drawn weights that keep signals at their size, as do its batch statistics.

    Unlike a trained network's, its features differ little from clip to clip; time and memory are the same.
    """
    generator = torch.Generator().manual_seed(seed)
    encoder = SignEncoder(classes, config)
    for name, value in encoder.state_dict().items():
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("running_var"):
            noise = 0.5 + noise.abs()
        elif name.endswith("running_mean"):
            noise = 0.1 * noise
        elif value.ndim > 1:
            noise = noise / value[0].numel() ** 0.5
        else:
            noise = 1 + 0.1 * noise if name.endswith("weight") else 0.01 * noise
        value.copy_(noise)
    return encoder.eval()


def looped(videos: list[Frames], count: int) -> Frames:
    """The videos one after the other, again and again, up to so many frames."""
    together = np.concatenate(videos)
    return together[np.arange(count) % len(together)]


def drawn_video(count: int, size: int, seed: int) -> Frames:
    """A figure before a textured wall that waves both arms: uint8 [count, size, size, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    wall = rng.uniform(60, 200, 3) * (0.7 + 0.3 * y[..., None]) + rng.normal(0, 4, (size, size, 1))
    rates, phases = rng.uniform(0.1, 0.45, 4), rng.uniform(0, 6.28, 4)
    skin, shirt = rng.uniform(90, 230, 3), rng.uniform(20, 160, 3)
    frames = np.empty((count, size, size, 3), dtype=np.uint8)
    for index in range(count):
        picture = wall.copy()
        picture[((x - 0.5) / 0.22) ** 2 + ((y - 0.85) / 0.4) ** 2 < 1] = shirt
        picture[((x - 0.5) / 0.1) ** 2 + ((y - 0.28) / 0.14) ** 2 < 1] = skin
        swing = np.sin(rates * index + phases)
        for side, (across, up) in ((-1, swing[:2]), (1, swing[2:])):
            hand = (0.5 + side * (0.2 + 0.15 * across), 0.55 + 0.25 * up)
            picture[(x - hand[0]) ** 2 + (y - hand[1]) ** 2 < 0.05**2] = skin
        frames[index] = picture.clip(0, 255)
    return frames


def measured_videos(size: int, settings: BenchSettings) -> list[Frames]:
    """Videos to measure with, uint8 [N, size, size, 3] each; none that calibration sees.

    Raises
    ------
    InputError
        If `settings.videos` holds too few videos that can be decoded.
    """
    return list(_videos(size, settings))[:CLIPS]


def _videos(size: int, settings: BenchSettings) -> Iterator[Frames]:
    wanted = CLIPS + CALIBRATION_CLIPS
    if settings.videos is None:
        for index in range(wanted):
            yield drawn_video(35, size, settings.seed * wanted + index)
        return
    files = sorted(f for f in settings.videos.glob("*") if f.suffix.lower() in SUFFIXES)
    found = 0
    for file in files[:: max(1, len(files) // wanted)]:
        try:
            frames = decode_clip(file, size=size).frames
        except ClipError:
            continue
        found += 1
        yield frames
        if found == wanted:
            return
    raise InputError(f"'{settings.videos}' holds {found} videos that can be decoded; {wanted} are needed")


def _encoder(settings: BenchSettings) -> tuple[SignEncoder, list[str]]:
    if settings.encoder is None:
        classes, config = (QUICK_CLASSES, QUICK) if settings.quick else (CLASSES, SIGN_ENCODERS["paper"])
        return drawn_encoder(classes, config, settings.seed), [str(i) for i in range(classes)]
    try:
        return load_sign_encoder(settings.encoder)
    except (ValueError, OSError, RuntimeError) as error:
        raise InputError(f"{error}; a sign encoder comes from 'cico train sign-encoder'") from error


def _inner_windows(frames: Frames, count: int, config: SignEncoderConfig) -> torch.Tensor:
    """The middle window, or several, spread over the video: a small network, or a GPU, wants more work."""
    starts = window_starts(len(frames))
    return windows(frames, [starts[len(starts) * (2 * i + 1) // (2 * count)] for i in range(count)], config)
