"""What a report is made of: drawn clips, a model that learned some, files that are not as they should be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from tiny_corpus import film, write_corpus, write_video

from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import save_retrieval_model
from cico_platform.corpus.manifest import Clip, Corpus, write_manifest
from cico_platform.pipelines.stored_features import INFO_FILE
from cico_platform.schemas.features import FEATURES_SCHEMA
from cico_platform.steps import write_json
from cico_platform.training.pairs import Pairs, load_pairs
from cico_platform.training.retrieval import RetrievalSettings, fresh_model

DIM = 16
# Clips of the test split that are special.
PART, FRAMES, MISSING, BROKEN = "test-00", "test-01", "test-02", "test-03"
PART_START, PART_END = 0.4, 1.2


def write_sample(folder: Path, sentences: int = 24, steps: int = 10) -> tuple[Path, Path, Path]:
    """A corpus, its features and a model.

    Of the test split, one clip is a part of a longer file, one a folder of frames, one file is gone and one
    is no video; signers and languages differ, and are partly unknown.
    """
    corpus, features = folder / "corpus & more", folder / "features"
    write_corpus(corpus, train=sentences, damaged=False)
    clips = [_varied(clip, number) for number, clip in enumerate(Corpus(corpus).clips(labelled=False))]
    dealt = [replace(c, split="test") if n % 2 and c.split == "train" else c for n, c in enumerate(clips)]
    write_manifest(corpus, [_special(corpus, clip) for clip in dealt])
    _write_features(features, dealt)
    train = load_pairs(corpus, features, "train")
    model = fresh_model(train, DIM, RetrievalSettings())
    _learn(model, train, steps)
    save_retrieval_model(folder / "model", model, {})
    return corpus, features, folder / "model"


def _varied(clip: Clip, number: int) -> Clip:
    signer = (None, "Ada", "Bo <b>", "Ada")[number % 4]
    return replace(clip, signer=signer, language=("en", "de", None)[number % 3])


def _special(corpus: Path, clip: Clip) -> Clip:
    path = corpus / clip.path
    if clip.video_id == PART:
        write_video(path, np.concatenate([film(["blue"], 1), film(["red", "green"], 2)]))
        return replace(clip, start=PART_START, end=PART_END, frames=20)
    if clip.video_id == FRAMES:
        frames = path.with_suffix("")
        frames.mkdir()
        for number, frame in enumerate(film(["red"], 3)):
            Image.fromarray(frame).save(frames / f"{number}.png")
        return replace(clip, path=f"videos/{frames.name}", frames=18)
    if clip.video_id == MISSING:
        path.unlink()
    if clip.video_id == BROKEN:
        path.write_text("this is no video")
    return clip


def _write_features(folder: Path, clips: list[Clip]) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    signs = {sign: rng.normal(size=DIM) for sign in ("blue", "green", "red", "white")}
    rows = []
    for clip in clips:
        words = [signs[word] + 0.3 * rng.normal(size=(3, DIM)) for word in clip.text.split()]
        values = np.concatenate(words).astype(np.float16)
        starts = list(range(0, 6 * len(values), 6))
        rows.append(
            {
                "video_id": clip.video_id,
                "encoder_id": "drawn",
                "window_starts": starts,
                "dim": DIM,
                "features": values.ravel(),
            }
        )
    pq.write_table(pa.Table.from_pylist(rows, schema=FEATURES_SCHEMA), folder / "part-00000.parquet")
    write_json(folder / INFO_FILE, {"encoders": [{"id": "drawn", "path": "none"}], "alpha": 1.0, "dim": DIM})


def _learn(model: RetrievalModel, pairs: Pairs, steps: int) -> None:
    first = list({owner: video for video, owner in enumerate(pairs.text_of_video.tolist())}.values())
    features, valid = pairs.features.batch(first)
    tokens = model.tokenise([pairs.texts[pairs.text_of_video[video]] for video in first])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        loss = model.train()(features, valid, tokens.ids, tokens.valid)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.clamp_logit_scale()
    model.eval()
