"""A corpus of little real videos: a sign is a moving square of its own colour, a sentence is several."""

from pathlib import Path

import av
import numpy as np
import torch
from drawn_encoders import settled_encoder
from numpy.typing import NDArray

from cico_model.checkpoint import save_sign_encoder
from cico_model.clips import windows
from cico_model.config import SignEncoderConfig
from cico_platform.corpus.manifest import Clip, Split, write_manifest

SIZE, FPS, SIGN_FRAMES = 64, 25, 18
MICRO = SignEncoderConfig("tiny", 0.0625, 32)
SIGNS: dict[str, tuple[int, int, int]] = {
    "red": (230, 30, 30),
    "green": (30, 220, 40),
    "blue": (40, 60, 235),
    "white": (240, 240, 240),
}
LABELS = sorted(SIGNS)


def film(signs: list[str], seed: int) -> NDArray[np.uint8]:
    """Frames uint8 [18 a sign, 64, 64, 3]."""
    rng = np.random.default_rng(seed)
    frames = np.full((SIGN_FRAMES * len(signs), SIZE, SIZE, 3), 60, np.int16)
    frames += rng.integers(0, 12, (1, SIZE, SIZE, 3))
    for number, sign in enumerate(signs):
        x, y = rng.integers(6, 24, 2)
        for step in range(SIGN_FRAMES):
            left = int(x + step)
            frames[number * SIGN_FRAMES + step, y : y + 22, left : left + 22] = SIGNS[sign]
    return frames.clip(0, 255).astype(np.uint8)


def write_video(path: Path, frames: NDArray[np.uint8]) -> None:
    """An MP4 of these frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "12", "preset": "ultrafast"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_corpus(folder: Path, train: int = 12, damaged: bool = True) -> Path:
    """A dictionary of four signs by five signers (the last is the validation split), and sentences.

    Where `damaged`, one training sentence is a text renamed to .mp4, and one path leads out of the corpus.
    """
    rng = np.random.default_rng(0)
    clips: list[Clip] = []

    def add(name: str, split: Split, signs: list[str], label: str | None, seed: int) -> None:
        write_video(folder / "videos" / f"{name}.mp4", film(signs, seed))
        text = " ".join(signs)
        known = {"signer": "somebody", "licence": "CC0", "frames": SIGN_FRAMES * len(signs), "fps": FPS}
        path, text_id = f"videos/{name}.mp4", f"t-{'-'.join(signs)}"
        clips.append(Clip(name, text_id, split, path, text, text.capitalize(), label=label, **known))

    for signer in range(5):
        for number, sign in enumerate(LABELS):
            split: Split = "validation" if signer == 4 else "train"
            add(f"sign-{sign}-{signer}", split, [sign], sign, 100 + 10 * signer + number)
    splits: list[tuple[Split, int]] = [("train", train), ("validation", 4), ("test", 6)]
    for split, count in splits:
        for number in range(count):
            signs = [LABELS[i] for i in rng.integers(0, len(LABELS), 2 + number % 3)]
            add(f"{split}-{number:02d}", split, signs, None, int(rng.integers(1 << 30)))
    if damaged:
        (folder / "videos" / "text.mp4").write_text("this is no video")
        clips.append(Clip("text", "t-red", "train", "videos/text.mp4", "red", "Red"))
        clips.append(Clip("outside", "t-red", "train", "../outside.mp4", "red", "Red"))
    write_manifest(folder, clips)
    return folder


def write_encoder(folder: Path, seed: int = 0, favourite: str | None = None) -> Path:
    """An untrained sign encoder; it can be made to see one sign everywhere."""
    films = [film(LABELS, number)[:, ::2, ::2] for number in range(4)]
    seen = torch.cat([windows(frames, range(0, 50, 8), MICRO) for frames in films])
    encoder = settled_encoder(len(LABELS), MICRO, seen, seed)
    if favourite is not None:
        with torch.no_grad():
            encoder.logits.conv3d.weight.zero_()
            bias = torch.zeros(len(LABELS))
            bias[LABELS.index(favourite)] = 5.0
            encoder.logits.conv3d.bias.copy_(bias)
    save_sign_encoder(folder, encoder, LABELS, {})
    return folder
