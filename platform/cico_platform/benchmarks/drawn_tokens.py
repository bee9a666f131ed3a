"""Drawn clips and texts for `cico bench search`, in any number: sentences of signs from a vocabulary."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cico_model.config import TOWERS, TowerConfig
from cico_platform.benchmarks.search_material import LENGTHS_FILE, ROWS_FILE, Queries

Float = NDArray[np.float32]
Integers = NDArray[np.int64]
# Clips that are drawn at a time, whatever their number: so a larger collection begins with the smaller one.
BLOCK = 1000
# Signs of the vocabulary; the k-th is said in proportion to k to the power of minus this.
SIGNS, ZIPF = 300, 0.9
# Signs of a sentence, and tokens of a sign: 36 tokens a clip on average.
SENTENCE, WINDOWS = (4, 9), (3, 8)
# Dimensions with most of the spread, as in a trained model's tokens.
SPREAD = 24
# How far a token is from its sign: by chance, by the clip that it is in, and between text and video.
NOISE, CLIP_NOISE, TEXT_NOISE, WORD_NOISE = 0.5, 0.45, 0.45, 0.25
NOISES = 1 << 15


class Block(NamedTuple):
    """Some clips: the signs that each says, and tokens float16 [N, D], clip after clip."""

    signs: list[Integers]
    rows: NDArray[np.float16]
    lengths: Integers


@dataclass(frozen=True)
class DrawnTokens:
    """Tokens of a language that is drawn from a seed.

    Attributes
    ----------
    videos, words
        float32 [SIGNS, D] of length 1: what a sign looks like in a video and in a text.
    spread
        float64 [D]: of noise, as of signs.
    noises
        float32 [NOISES, D] of length 1.
    """

    seed: int
    videos: Float
    words: Float
    spread: NDArray[np.float64]
    noises: Float

    @classmethod
    def of(cls, width: int, seed: int) -> "DrawnTokens":
        """Draw the language."""
        rng = np.random.default_rng((seed, 0))
        spread = 1 / (1 + (np.arange(width) / SPREAD) ** 2)
        videos, apart, noises = (_unit(rng.normal(size=(n, width)) * spread) for n in (SIGNS, SIGNS, NOISES))
        return cls(seed, videos, _unit(videos + TEXT_NOISE * apart), spread, noises)

    def blocks(self, count: int) -> Iterator[Block]:
        """So many clips, block by block."""
        for first in range(0, count, BLOCK):
            yield self._block(first // BLOCK, min(BLOCK, count - first))

    def queries(self, count: int) -> Queries:
        """Sentences of which every other one is a clip's; in the others one sign is another."""
        rng = np.random.default_rng((self.seed, 1))
        said = self._sentences(np.random.default_rng((self.seed, 2, 0)), BLOCK)
        chosen = [said[i].copy() for i in rng.choice(BLOCK, count, replace=False)]
        for signs in chosen[::2]:
            signs[rng.integers(len(signs))] = rng.integers(SIGNS)
        tokens = [_unit(self.words[signs] + WORD_NOISE * self._noise(rng, len(signs))) for signs in chosen]
        return Queries([" ".join(f"sign{sign}" for sign in signs) for signs in chosen], tokens)

    def _sentences(self, rng: np.random.Generator, count: int) -> list[Integers]:
        common = np.arange(1, SIGNS + 1) ** -ZIPF
        ends = np.cumsum(rng.integers(*SENTENCE, size=count, endpoint=True))
        signs = rng.choice(SIGNS, int(ends[-1]), p=common / common.sum())
        return np.split(signs, ends[:-1])

    def _block(self, number: int, count: int) -> Block:
        """Draw a whole block and take its first clips: these do not depend on how many are taken."""
        rng = np.random.default_rng((self.seed, 2, number))
        signs = self._sentences(rng, BLOCK)
        said, sizes = np.concatenate(signs), np.array([len(one) for one in signs])
        windows = rng.integers(*WINDOWS, size=len(said), endpoint=True)
        lengths = np.add.reduceat(windows, np.cumsum(sizes) - sizes)
        rows = np.repeat(self.videos[said], windows, axis=0)
        rows += NOISE * self._noise(rng, len(rows))
        rows += CLIP_NOISE * np.repeat(self._noise(rng, BLOCK), lengths, axis=0)
        taken = rows[: int(lengths[:count].sum())].astype(np.float16)
        return Block(signs[:count], taken, lengths[:count])

    def _noise(self, rng: np.random.Generator, count: int) -> Float:
        return self.noises[rng.integers(NOISES, size=count)]


def drawn_config(width: int) -> TowerConfig:
    """How tokens of this width are compared."""
    return replace(TOWERS["tiny"], embed_dim=width)


def write_drawn(tokens: DrawnTokens, count: int, folder: Path) -> None:
    """Write the tokens of so many clips, as `search_material.write_material` does."""
    folder.mkdir(parents=True, exist_ok=True)
    lengths = []
    with (folder / ROWS_FILE).open("wb") as file:
        for block in tokens.blocks(count):
            file.write(block.rows.tobytes())
            lengths.append(block.lengths)
    np.save(folder / LENGTHS_FILE, np.concatenate(lengths))


def _unit(rows: NDArray[np.floating]) -> Float:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)
