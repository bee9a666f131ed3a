"""Miniatures of the three published corpora in their true layouts, and drawn weights in published files."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawn_encoders import settled_encoder
from numpy.typing import NDArray
from PIL import Image
from tiny_corpus import write_video

from cico_model.clips import windows
from cico_model.config import SIGN_ENCODERS, TOWERS, SignEncoderConfig, TowerConfig
from cico_model.model import RetrievalModel
from cico_model.text import ClipTokenizer
from cico_model.tower_import import published_name

FRAMES = 17
SPLITS = ("train", "dev", "test")
HOW2SIGN = "VIDEO_ID\tVIDEO_NAME\tSENTENCE_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE"
PHOENIX = "name|video|start|end|speaker|orth|translation"
COLOURS = ((230, 30, 30), (30, 220, 40), (40, 60, 235), (240, 240, 240), (230, 220, 30), (30, 220, 230))


@dataclass(frozen=True)
class Sizes:
    """How many sentences each split of a miniature has."""

    train: int = 4
    dev: int = 2
    test: int = 3

    def of(self, split: str) -> int:
        """Sentences of a split."""
        return int(getattr(self, split))


def film(seed: int, size: tuple[int, int] = (72, 64), frames: int = FRAMES) -> NDArray[np.uint8]:
    """A coloured square that moves before a grey scene: uint8 [frames, height, width, 3]."""
    rng = np.random.default_rng(seed)
    width, height = size
    pictures = np.full((frames, height, width, 3), 60 + seed % 40, np.uint8)
    x, y = rng.integers(2, width // 3), rng.integers(2, height // 3)
    step = rng.integers(-1, 2)
    for number in range(frames):
        left = int(np.clip(x + number, 0, width - 20))
        top = int(np.clip(y + step * number, 0, height - 20))
        pictures[number, top : top + 20, left : left + 20] = COLOURS[seed % len(COLOURS)]
    return pictures


def how2sign(root: Path, sizes: Sizes = Sizes(), boxes: Sequence[str] = ("train", "test")) -> Path:
    """Realigned tables, whole videos with two sentences each, and boxes of the signers.

    The second sentence of a video stands first in the table, as "_10" does before "_2". The last test video
    is the first one's sentences, signed by somebody else.
    """
    for number, split in enumerate(SPLITS):
        name = {"dev": "val"}.get(split, split)
        lines, known = [HOW2SIGN], {}
        for video in range(sizes.of(split)):
            again = split == "test" and video == sizes.test - 1
            about = f"{split}{0 if again else video}"
            video_name = f"{about}-{5 if again else 1}-rgb_front"
            seconds, seed = FRAMES / 25, 100 * number + 10 * video
            pictures = np.concatenate([film(seed), film(seed + 1)])
            write_video(root / "raw_videos" / name / f"{video_name}.mp4", pictures)
            for sentence in (1, 0):
                start, end = sentence * seconds, (sentence + 1) * seconds
                text = f"We film the number {sentence} of {about}." if sentence else 'He said ""hi"".'
                text = text if sentence else f'"{text}"'
                name_ = f"{about}_{sentence}-{5 if again else 1}-rgb_front"
                lines.append(f"{about}\t{video_name}\t{about}_{sentence}\t{name_}\t{start}\t{end}\t{text}")
                box = {"x1": 4, "x2": 64, "y1": 2, "y2": 62, "w": 60, "h": 60}
                known[f"{video_name}_clip{sentence}.mp4"] = box
        (root / f"how2sign_realigned_{name}.csv").write_text("\n".join(lines) + "\n")
        if split in boxes:
            (root / f"bounding_box_coco_{split}.pkl").write_bytes(pickle.dumps(known))
    return root


def phoenix2014t(root: Path, sizes: Sizes = Sizes()) -> Path:
    """The release with its frames, and CiCo's pickles: that of dev holds the training sentences, too.

    The last two test sentences have the same text, as "Guten Abend" has in the corpus.
    """
    release = root / "PHOENIX-2014-T-release-v3" / "PHOENIX-2014-T"
    translated: dict[str, dict[str, dict[str, Any]]] = {}
    (release / "annotations" / "manual").mkdir(parents=True)
    for number, split in enumerate(SPLITS):
        lines, entries = [PHOENIX], {}
        for sentence in range(sizes.of(split)):
            name = f"{number + 10}August_2010_Monday_tagesschau-{sentence}"
            write_frames(release / "features" / "fullFrame-210x260px" / split / name, 100 * number + sentence)
            last = split == "test" and sentence >= sizes.test - 2
            original = "guten abend" if last else f"am {split} regen in {sentence} orten"
            text = "Good evening" if last else f"On {split} rain in {sentence} places"
            lines.append(f"{name}|{name}/1/*.png|-1|-1|Signer0{sentence}|REGEN|{original}")
            entries[name] = {
                "video_name": name,
                "ori_text": original,
                "text": text,
                "num_frames": FRAMES,
            }
        table = "\n".join(lines) + "\n"
        (release / "annotations" / "manual" / f"PHOENIX-2014-T.{split}.corpus.csv").write_text(table)
        translated[split] = entries
    complex_ = release / "annotations" / "manual" / "PHOENIX-2014-T.train-complex-annotation.corpus.csv"
    complex_.write_text(PHOENIX + "\n")
    translated["dev"] = {**translated["train"], **translated["dev"]}
    _write_pickles(root / "data_ph", translated)
    return root


def csl_daily(root: Path, sizes: Sizes = Sizes()) -> Path:
    """The pickle of all sentences, the official splits, frames, and CiCo's pickles, which have no dev.

    The first sentence of training and of test is signed twice.
    """
    records, splits = [], ["name|split"]
    translated: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for number, split in enumerate(SPLITS):
        for sentence in range(sizes.of(split)):
            for signer in (0, 4) if sentence == 0 and split != "dev" else (0,):
                key = f"S{number}{sentence:05d}"
                name = f"{key}_P{signer:04d}_T00"
                write_frames(
                    root / "sentence_frames-512x512" / name, 100 * number + 10 * sentence + signer, ".jpg"
                )
                original = f"今天第{sentence}天{'练习试'[number]}。"
                records.append(
                    {"name": name, "signer": signer, "label_char": list(original), "label_gloss": ["今天"]}
                )
                splits.append(f"{name}|{split}")
                text = f"Today is day {sentence} of {split}."
                entry = {
                    "video_name": name,
                    "ori_text": original,
                    "text": text,
                    "num_frames": FRAMES,
                }
                translated.setdefault(split, {}).setdefault(key, []).append(entry)
    (root / "sentence_label").mkdir()
    (root / "sentence_label" / "csl2020ct_v2.pkl").write_bytes(pickle.dumps({"info": records}))
    (root / "sentence_label" / "split_1.txt").write_text("\n".join(splits) + "\n")
    del translated["dev"]
    _write_pickles(root / "data_csl", translated)
    return root


def write_frames(folder: Path, seed: int, suffix: str = ".png") -> None:
    """A folder of frames as PHOENIX-2014T (210 x 260 there) and CSL-Daily have them, small."""
    folder.mkdir(parents=True)
    for number, picture in enumerate(film(seed, (56, 68))):
        Image.fromarray(picture).save(folder / f"images{number + 1:04d}{suffix}")


def _write_pickles(folder: Path, content: dict[str, Any]) -> None:
    folder.mkdir()
    for split, sentences in content.items():
        (folder / f"{split}.pkl").write_bytes(pickle.dumps(sentences))


def published_encoder(
    file: Path, classes: int = 5383, config: SignEncoderConfig = SIGN_ENCODERS["paper"]
) -> Path:
    """A drawn sign encoder as BSL's is published; it is sure of its first sign everywhere."""
    side = config.frame_size
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (20, config.resize, config.resize, 3), dtype=np.uint8)
    assert windows(frames, [0], config).shape[-1] == side
    encoder = settled_encoder(classes, config, windows(frames, [0, 4], config), seed=0)
    with torch.no_grad():
        encoder.logits.conv3d.weight *= 0.01
        encoder.logits.conv3d.bias[0] += 20.0
    state = {f"module.{name}": value for name, value in encoder.state_dict().items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 12, "arch": "InceptionI3d", "state_dict": state}, file)
    return file


def published_clip(file: Path, layers: int = 12, video_width: int = 768, text_width: int = 512) -> Path:
    """A drawn CLIP under OpenAI's names, in half precision, with an image tower."""
    torch.manual_seed(0)
    config = TowerConfig(
        embed_dim=TOWERS["paper"].embed_dim if layers == 12 else 64,
        video_width=video_width,
        video_layers=layers,
        video_heads=video_width // 64,
        text_width=text_width,
        text_layers=layers,
        text_heads=text_width // 64,
    )
    model = RetrievalModel(config, ClipTokenizer())
    state = published_names(model)
    state["visual.conv1.weight"] = torch.randn(video_width, 3, 32, 32) * 0.02
    state["visual.positional_embedding"] = torch.randn(50, video_width) * 0.02
    state["positional_embedding"] = torch.randn(77, text_width) * 0.01
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: value.half() for name, value in state.items()}, file)
    return file


def published_names(model: RetrievalModel) -> dict[str, torch.Tensor]:
    """The weights of both towers, and the scale, under OpenAI's names."""
    names = {"logit_scale": model.logit_scale.detach()}
    for is_video, tower in ((True, model.video), (False, model.text)):
        names |= {published_name(is_video, name): value for name, value in tower.state_dict().items()}
    return names
