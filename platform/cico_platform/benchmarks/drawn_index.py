"""An index to be searched under load: drawn sentences, tokens and video, real models with drawn weights."""

import math
from pathlib import Path

import numpy as np
import torch

from cico_model.checkpoint import save_sign_encoder
from cico_model.config import SIGN_ENCODERS, TOWERS
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import save_retrieval_model
from cico_model.text import CorpusTokenizer
from cico_platform.benchmarks.material import drawn_encoder, drawn_video
from cico_platform.corpus.encode import write_video
from cico_platform.corpus.synthesis.vocabulary import ADJECTIVES, PEOPLE, PLACE_PHRASES, THINGS, VERBS
from cico_platform.encoding.texts import TextQuery, encode_texts
from cico_platform.index.base import open_index
from cico_platform.index.clips import IndexedClip
from cico_platform.index.serving_info import ServingInfo
from cico_platform.index.writer import BATCH, IndexWriter
from cico_platform.pipelines.index_texts import write_texts

CLASSES = 50
FPS, FRAMES, SIDE = 25.0, 75, 256
WINDOWS = (24, 64)
# How far a clip's tokens are from those of its sentence.
NOISE = 0.5


def draw_index(folder: Path, clips: int, seed: int = 0) -> Path:
    """Write `folder/index` with so many clips, all of one drawn video; returns it.

    A clip's tokens are those of its own sentence, repeated and disturbed, so searches find what they should.
    """
    rng = np.random.default_rng(seed)
    sentences = _sentences(clips, rng)
    torch.manual_seed(seed)
    model = RetrievalModel(TOWERS["tiny"], CorpusTokenizer.train(sentences)).eval()
    save_retrieval_model(folder / "model", model)
    encoder = drawn_encoder(CLASSES, SIGN_ENCODERS["tiny"], seed)
    save_sign_encoder(folder / "encoder", encoder, [str(number) for number in range(CLASSES)])
    video = folder / "query.mp4"
    write_video(video, drawn_video(FRAMES, SIDE, seed), FPS, crf=20)
    info = ServingInfo(
        "clips-1", model.config.embed_dim, str(folder / "model"), (str(folder / "encoder"),), 1.0, "drawn"
    )
    with open_index(str(folder / "index")) as index, IndexWriter(index, info) as writer:
        for first in range(0, clips, BATCH):
            said = sentences[first : first + BATCH]
            writer.add(
                [
                    _clip(first + place, text, query, video, rng)
                    for place, (text, query) in enumerate(zip(said, encode_texts(model, said), strict=True))
                ]
            )
        writer.flush()
        write_texts(index, info, model)
    return folder / "index"


def _clip(number: int, text: str, query: TextQuery, video: Path, rng: np.random.Generator) -> IndexedClip:
    windows = int(rng.integers(*WINDOWS, endpoint=True))
    tokens = np.resize(query.tokens, (windows, query.tokens.shape[1]))
    tokens = tokens + NOISE * tokens.std() * rng.normal(size=tokens.shape)
    payload = {
        "text": text,
        "text_id": str(number),
        "path": str(video),
        "split": "test",
        "fps": FPS,
        "window_starts": list(range(windows)),
        "duration": FRAMES / FPS,
    }
    return IndexedClip(f"clip-{number:06d}", tokens.astype(np.float32), payload)


def _sentences(count: int, rng: np.random.Generator) -> list[str]:
    """So many sentences, no two alike."""
    people, things, qualities, places = (
        [word for words in known.values() for word in words]
        for known in (PEOPLE, THINGS, ADJECTIVES, PLACE_PHRASES)
    )
    verbs = [verb.third for known in VERBS.values() for verb in known]
    parts = (people, verbs, qualities, things, places)
    numbers = rng.choice(math.prod(map(len, parts)), count, replace=False)
    chosen = zip(*np.unravel_index(numbers, [len(part) for part in parts]), strict=True)
    return [
        "the {} {} the {} {} {}".format(*(part[i] for part, i in zip(parts, place, strict=True)))
        for place in chosen
    ]
