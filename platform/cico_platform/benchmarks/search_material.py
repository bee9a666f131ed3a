"""Clips to search among, in any number: those of a finished demo, and others pieced together from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.corpus.manifest import Corpus
from cico_platform.encoding.texts import encode_texts
from cico_platform.encoding.video_tokens import embed_features
from cico_platform.errors import InputError
from cico_platform.pipelines.embed import model_alpha
from cico_platform.pipelines.stored_features import load_features

ROWS_FILE, LENGTHS_FILE, QUERIES_FILE = "rows.f16", "lengths.npy", "queries.npz"
# A new clip is two or three pieces of clips, each at a speed of its own, with so much of the features' own
# spread added.
PIECES, SPEEDS, NOISE = (2, 4), (0.8, 1.25), 0.15
ENCODE_BATCH = 64
# Up to here the video tower encodes every clip; beyond, tokens themselves are pieced together.
ENCODED = 20_000


class Queries(NamedTuple):
    """Texts' tokens, each float32 [L, D]."""

    texts: list[str]
    tokens: list[NDArray[np.float32]]


@dataclass(frozen=True)
class Demo:
    """What a finished demo gives: its model, each clip's features float16 [W, F], texts by split."""

    model: RetrievalModel
    features: dict[str, NDArray[np.float16]]
    texts: dict[str, dict[str, str]]


@dataclass(frozen=True)
class Material:
    """Tokens of clips in a file, one clip behind the other.

    Attributes
    ----------
    rows
        float16 [N, D], mapped into memory.
    lengths
        int64 [V].
    """

    rows: NDArray[np.float16]
    lengths: NDArray[np.int64]

    @property
    def firsts(self) -> NDArray[np.int64]:
        """Where each clip's tokens begin."""
        return np.asarray(np.cumsum(self.lengths) - self.lengths)

    def clip(self, number: int) -> NDArray[np.float16]:
        """One clip's tokens [T, D]."""
        first = int(self.firsts[number])
        return self.rows[first : first + int(self.lengths[number])]


def read_demo(work_dir: Path) -> Demo:
    """A finished demo.

    Raises
    ------
    InputError
        If the folder holds none.
    """
    corpus, features, model = (work_dir / name for name in ("corpus", "features", "model"))
    if not all(folder.is_dir() for folder in (corpus, features, model)):
        raise InputError(f"'{work_dir}' holds no finished demo; run 'cico demo --work-dir {work_dir}' first")
    opened = load_retrieval_model(model)
    stored = load_features(features, model_alpha(model)).strided(opened.config.window_stride)
    texts: dict[str, dict[str, str]] = {}
    for clip in Corpus(corpus).clips(labelled=False):
        texts.setdefault(str(clip.split), {})[clip.video_id] = clip.text
    found = dict(zip(stored.video_ids, stored.values, strict=True))
    return Demo(opened, found, texts)


def choose_queries(demo: Demo, count: int, seed: int) -> Queries:
    """Some of the test split's texts, in an order that is drawn."""
    texts = sorted(set(demo.texts.get("test", {}).values()))
    order = np.random.default_rng(seed).permutation(len(texts))[:count]
    chosen = [texts[i] for i in order]
    return Queries(chosen, [query.tokens for query in encode_texts(demo.model, chosen)])


def write_material(demo: Demo, count: int, folder: Path, seed: int) -> None:
    """Write the tokens of `count` clips: the demo's, then pieced ones."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    known = [values.astype(np.float32) for values in demo.features.values()]
    spread = NOISE * np.concatenate(known).std(axis=0)
    lengths: list[int] = []
    kept: list[NDArray[np.float16]] = []
    with (folder / ROWS_FILE).open("wb") as file:
        while len(lengths) < count:
            size = min(ENCODE_BATCH, count - len(lengths))
            if len(lengths) < ENCODED:
                made = range(len(lengths), len(lengths) + size)
                features = [known[i] if i < len(known) else _pieced(known, spread, rng) for i in made]
                tokens = _encode(demo.model, features)
            else:
                tokens = [_pieced(kept, np.float32(0.02), rng).astype(np.float16) for _ in range(size)]
            for block in tokens:
                file.write(np.ascontiguousarray(block).tobytes())
            lengths += [len(block) for block in tokens]
            kept += tokens if len(kept) < ENCODED else []
    np.save(folder / LENGTHS_FILE, np.array(lengths, dtype=np.int64))


def encode_clips(demo: Demo, names: list[str]) -> list[NDArray[np.float16]]:
    """Tokens [T, D] of some of the demo's clips."""
    features = [demo.features[name].astype(np.float32) for name in names]
    batches = (features[i : i + ENCODE_BATCH] for i in range(0, len(features), ENCODE_BATCH))
    return [tokens for batch in batches for tokens in _encode(demo.model, batch)]


def write_queries(queries: Queries, folder: Path) -> None:
    """Write the queries' tokens."""
    np.savez(
        folder / QUERIES_FILE,
        rows=np.concatenate(queries.tokens),
        lengths=np.array([len(tokens) for tokens in queries.tokens]),
    )


def read_material(folder: Path, dim: int) -> Material:
    """What `write_material` wrote, mapped into memory."""
    rows = np.memmap(folder / ROWS_FILE, np.float16, "r").reshape(-1, dim)
    return Material(rows, np.load(folder / LENGTHS_FILE))


def read_queries(folder: Path) -> list[NDArray[np.float32]]:
    """What `write_queries` wrote."""
    with np.load(folder / QUERIES_FILE) as arrays:
        return list(np.split(arrays["rows"], np.cumsum(arrays["lengths"])[:-1]))


def _encode(model: RetrievalModel, features: list[NDArray[np.float32]]) -> list[NDArray[np.float16]]:
    return embed_features(model, [values.astype(np.float16) for values in features])


def _pieced(
    known: list[NDArray[np.float32]] | list[NDArray[np.float16]],
    spread: NDArray[np.float32] | np.float32,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Pieces of clips behind each other, no longer than a clip is read, with some noise."""
    pieces = []
    for _ in range(rng.integers(*PIECES)):
        whole = known[rng.integers(len(known))]
        size = int(rng.integers(max(1, len(whole) // 4), max(2, len(whole) // 2 + 1)))
        first = int(rng.integers(0, len(whole) - size + 1))
        steps = max(1, round(size / rng.uniform(*SPEEDS)))
        pieces.append(whole[first + np.linspace(0, size - 1, steps).round().astype(int)])
    joined = np.concatenate(pieces)[:64].astype(np.float32)
    return joined + rng.normal(size=joined.shape).astype(np.float32) * spread
