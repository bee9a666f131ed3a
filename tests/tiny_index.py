"""A tiny index that tests search for real: drawn signers in real H.264 files, models that know them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cico_model.checkpoint import save_sign_encoder
from cico_model.clips import windows
from cico_model.config import SIGN_ENCODERS, TowerConfig
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import load_retrieval_model, save_retrieval_model
from cico_model.sign_encoder import SignEncoder
from cico_model.text import CorpusTokenizer
from cico_platform.corpus.framing import FramingSettings, frame_clip
from cico_platform.corpus.video import decode_clip
from cico_platform.encoding.clip_encoder import VideoEncoding, load_clip_encoder
from cico_platform.index.base import VectorIndex, open_index
from cico_platform.index.clips import IndexedClip
from cico_platform.index.serving_info import ServingInfo, live_serving
from cico_platform.index.writer import IndexWriter
from cico_platform.pipelines.index_texts import write_texts

FPS, SIDE, SIGN_FRAMES = 25, 240, 18
SIGNER = FramingSettings("signer")
WORDS = ("boy", "girl", "reads", "writes", "book", "letter", "garden", "school")
SENTENCES = (
    "The boy reads a book",
    "The girl reads a letter",
    "The boy writes a letter in the garden",
    "The girl writes in school",
    "A book in the garden",
    "The school writes the boy a letter",
    "Girl, boy, school",
    "The garden of the girl",
)
TOWERS = TowerConfig(
    feature_dim=256,
    embed_dim=32,
    video_width=64,
    video_layers=1,
    video_heads=2,
    text_width=64,
    text_layers=1,
    text_heads=2,
)


def draw_signer(sentence: str, number: int) -> list[NDArray[np.uint8]]:
    """Frames uint8 [240, 320, 3] of a figure that signs the known words of a sentence in turn."""
    signs = [WORDS.index(w) for w in sentence.lower().replace(",", "").split() if w in WORDS]
    rng = np.random.default_rng(number)
    back = tuple(int(v) for v in rng.integers(150, 225, 3))
    shirt = tuple(int(v) for v in rng.integers(30, 120, 3))
    skin = (224, 172, 138) if number % 2 else (141, 92, 66)
    frames = []
    for sign in signs:
        for t in np.linspace(0, 2 * np.pi, SIGN_FRAMES, endpoint=False):
            frame = np.full((SIDE, SIDE * 4 // 3, 3), back, np.uint8)
            cv2.ellipse(frame, (160, 250), (62, 110), 0, 0, 360, shirt, -1, cv2.LINE_AA)
            cv2.circle(frame, (160, 84), 34, skin, -1, cv2.LINE_AA)
            for side in (-1, 1):
                angle = t * (1 + sign % 3) * (side if sign % 2 else 1)
                hand = (
                    int(160 + side * (44 + 5 * (sign // 2)) + 30 * np.cos(angle)),
                    int(120 + 12 * (sign % 4) + (12 + 6 * sign) * np.sin(angle) / 2),
                )
                cv2.line(frame, (160 + side * 46, 178), hand, shirt, 18, cv2.LINE_AA)
                cv2.circle(frame, hand, 13, skin, -1, cv2.LINE_AA)
            frames.append(frame)
    return frames


def write_long_video(path: Path) -> dict[int, tuple[float, float]]:
    """All sentences in one file of 17 seconds, not in their order; when each is signed, in seconds."""
    frames, when = [], {}
    for number in (0, 4, 1, 7, 2, 6, 3, 5):
        signed = draw_signer(SENTENCES[number], number)
        when[number] = (len(frames) / FPS, (len(frames) + len(signed)) / FPS)
        frames += signed
    write_video(path, frames)
    return when


def write_video(path: Path, frames: list[NDArray[np.uint8]]) -> None:
    """An H.264 file that browsers play."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS))
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def settle_batch_norm(encoder: SignEncoder, videos: list[Path]) -> None:
    """Let random weights tell signs apart: statistics of these videos spread the features out."""
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.momentum = None
    crop = frame_clip(decode_clip(videos[0], longest=192), SIGNER).crop
    shots = [decode_clip(video, size=encoder.config.resize, crop=crop).frames for video in videos]
    batch = torch.cat([windows(frames, [0, 10, 20], encoder.config) for frames in shots])
    with torch.no_grad():
        encoder.train()(batch)
    encoder.eval()


def make_models(folder: Path, videos: list[Path], sentences: Sequence[str] = SENTENCES) -> tuple[Path, Path]:
    """A sign encoder of random weights and an untrained retrieval model, saved."""
    torch.manual_seed(0)
    encoder = SignEncoder(len(WORDS), SIGN_ENCODERS["tiny"])
    settle_batch_norm(encoder, videos)
    save_sign_encoder(folder / "encoder", encoder, list(WORDS))
    model = RetrievalModel(TOWERS, CorpusTokenizer.train(sentences, vocab_size=600))
    save_retrieval_model(folder / "model", model)
    return folder / "encoder", folder / "model"


def train(
    model: RetrievalModel,
    features: list[torch.Tensor],
    sentences: Sequence[str] = SENTENCES,
    steps: int = 60,
) -> None:
    """Learn the sentences by heart."""
    longest = max(len(f) for f in features)
    batch = torch.stack([torch.nn.functional.pad(f, (0, 0, 0, longest - len(f))) for f in features])
    valid = torch.stack([torch.arange(longest) < len(f) for f in features])
    tokens = model.tokenise(sentences)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(steps):
        loss = model.train()(batch, valid, tokens.ids, tokens.valid)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.clamp_logit_scale()
    model.eval()


def build_tiny_index(folder: Path) -> str:
    """Draw videos, train models, fill `folder/index`; returns its path."""
    (folder / "videos").mkdir(parents=True)
    videos = [folder / "videos" / f"clip {number}.mp4" for number in range(len(SENTENCES))]
    for number, path in enumerate(videos):
        write_video(path, draw_signer(SENTENCES[number], number))
    return index_videos(folder, videos, SENTENCES)


def index_videos(folder: Path, videos: list[Path], sentences: Sequence[str], **about: Any) -> str:
    """Train models that know these videos by heart, fill `folder/index`; `about` goes into every payload."""
    torch.set_num_threads(1)
    encoder_folder, model_folder = make_models(folder, videos, sentences)
    model = load_retrieval_model(model_folder)
    info = ServingInfo("clips-1", TOWERS.embed_dim, str(model_folder), (str(encoder_folder),), 1.0, "tiny")
    encoder = load_clip_encoder(info.encoders, model, 1.0, VideoEncoding(framing=SIGNER), threads=1)
    features, payloads = [], []
    for number, (path, sentence) in enumerate(zip(videos, sentences, strict=True)):
        framing = frame_clip(decode_clip(path, longest=192), SIGNER)
        place = {"start": framing.start, "end": framing.end, "crop": framing.crop}
        frames = decode_clip(path, size=encoder.frame_size, **place).frames  # type: ignore[arg-type]
        chosen, mixed = encoder.clip_features(frames)
        features.append(torch.from_numpy(mixed.astype(np.float32)))
        payloads.append(
            {
                **place,
                "text": sentence.lower(),
                "text_original": sentence,
                "text_id": str(number),
                "path": str(path),
                "split": "test",
                "signer": "AB"[number % 2],
                "sign_language": "drawn",
                "language": "en",
                "licence": None,
                "fps": float(FPS),
                "window_starts": chosen,
                "duration": len(frames) / FPS,
                **about,
            }
        )
    train(model, features, sentences)
    save_retrieval_model(model_folder, model)
    where = str(folder / "index")
    with open_index(where) as index:
        fill(index, info, model, features, payloads)
    return where


def copy_index(source: Path, target: VectorIndex) -> None:
    """Make what is live in an embedded index live in another index."""
    with open_index(str(source), must_exist=True) as index:
        info = live_serving(index)
        hits = list(index.fetch(info.collection, tokens=True))
        with IndexWriter(target, info) as writer:
            for hit in hits:
                payload = {key: value for key, value in hit.payload.items() if key != "video_id"}
                writer.add([IndexedClip(hit.video_id, np.array(hit.tokens), payload)])
            writer.flush()
            write_texts(target, info)


def fill(
    index: VectorIndex,
    info: ServingInfo,
    model: RetrievalModel,
    features: list[torch.Tensor],
    payloads: list[dict[str, Any]],
) -> None:
    """Index the clips as the pipeline does."""
    with IndexWriter(index, info) as writer, torch.inference_mode():
        for number, (feature, payload) in enumerate(zip(features, payloads, strict=True)):
            tokens = model.encode_video(feature[None], torch.ones(1, len(feature), dtype=torch.bool))
            writer.add([IndexedClip(f"clip-{number}", tokens[0, 1 : 1 + len(feature)].numpy(), payload)])
        writer.flush()
        write_texts(index, info, model)
