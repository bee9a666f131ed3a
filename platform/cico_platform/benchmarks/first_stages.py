"""Ways to find candidates by one vector a clip, compared by how many of the exact ten they keep."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cico_model.ragged import ragged_scores, unit_rows
from cico_platform.benchmarks.search_material import Demo, Material, encode_clips
from cico_platform.encoding.texts import encode_texts
from cico_platform.index.set_encoding import SetEncoder

Float = NDArray[np.float32]
CANDIDATES = (200, 500, 1000, 2000)
# Steps, pairs a side, and rate of the distillation.
STEPS, BATCH, RATE = 600, 128, 3e-3
# Repetitions, planes and width; the first is what the index has.
ENCODINGS = ((64, 2, 2), (16, 2, 8), (128, 2, 2))


class Way(NamedTuple):
    """What stands for a clip [D'] and for a text, from their tokens; they are compared by their product."""

    name: str
    clip: Callable[[Float], Float]
    text: Callable[[Float], Float]


def compare_first_stages(
    demo: Demo, material: Material, exact: tuple[list[Float], NDArray[np.int64]], seed: int
) -> list[dict[str, Any]]:
    """The mean share of the exact ten among the first candidates, searched exhaustively, by way.

    Parameters
    ----------
    exact
        Tokens of queries, and the exact ten of each, int [Q, 10].

    Returns
    -------
    list[dict]
        `name`, `width` of the vectors, and `kept`: share by number of candidates.
    """
    dim = material.rows.shape[1]
    ways = [
        Way("mean, cosine", lambda t: _unit(unit_rows(t).mean(axis=0)), query_mean),
        Way("mean, product", lambda t: np.asarray(unit_rows(t).mean(axis=0)), query_mean),
        distilled(demo, seed),
        *(_encoding(SetEncoder(dim, *sizes)) for sizes in ENCODINGS),
    ]
    queries, tops = exact
    clips = [material.clip(number).astype(np.float32) for number in range(len(material.lengths))]
    found = []
    for way in ways:
        vectors = np.stack([way.clip(tokens) for tokens in clips])
        kept: dict[int, list[float]] = {count: [] for count in CANDIDATES if count < len(clips)}
        for tokens, top in zip(queries, tops, strict=True):
            order = np.argsort(-(vectors @ way.text(tokens)))
            for count, each in kept.items():
                each.append(float(np.isin(top, order[:count]).mean()))
        shares = {count: round(float(np.mean(values)), 4) for count, values in kept.items()}
        found.append({"name": way.name, "width": vectors.shape[1], "kept": shares})
    return found


def _encoding(encoder: SetEncoder) -> Way:
    return Way(f"encoding, {encoder.matched.repetitions} drawings", encoder.clip, encoder.query)


def query_mean(tokens: Float) -> Float:
    """The direction of the mean of unit tokens."""
    return _unit(unit_rows(tokens).mean(axis=0))


def _unit(vector: Float) -> Float:
    return np.asarray(unit_rows(vector[None])[0], dtype=np.float32)


class _Head(nn.Module):
    """A mean of unit tokens, weighted by what a token says of itself, through a matrix."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(dim, 1)
        self.turn = nn.Linear(dim, dim, bias=False)
        nn.init.zeros_(self.weigh.weight)
        nn.init.eye_(self.turn.weight)

    def forward(self, tokens: Tensor, valid: Tensor) -> Tensor:
        """Unit tokens [B, N, D] and valid [B, N] to [B, D]."""
        weights = self.weigh(tokens).squeeze(-1).masked_fill(~valid, -torch.inf).softmax(dim=-1)
        pooled: Tensor = self.turn((weights.unsqueeze(-1) * tokens).sum(dim=1))
        return pooled


def distilled(demo: Demo, seed: int) -> Way:
    """A pooled head a side, trained until its products are the exact scores of the training split."""
    names = [name for name in demo.texts.get("train", {}) if name in demo.features]
    clips = [tokens.astype(np.float32) for tokens in encode_clips(demo, names)]
    texts = [query.tokens for query in encode_texts(demo.model, [demo.texts["train"][n] for n in names])]
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    dim = clips[0].shape[1]
    sides, heads = [_padded(clips), _padded(texts)], [_Head(dim), _Head(dim)]
    rows, lengths = np.concatenate(clips), np.array([len(tokens) for tokens in clips])
    config = demo.model.config
    scores = torch.from_numpy(
        np.stack(
            [
                ragged_scores(rows, lengths, text, weight=config.weight, temperature=config.temperature)
                for text in texts
            ],
            axis=1,
        )
    )
    optimizer = torch.optim.Adam([p for head in heads for p in head.parameters()], RATE)
    for _ in range(STEPS):
        picked = [torch.randperm(len(names), generator=generator)[:BATCH] for _ in heads]
        videos, words = (
            head(*(part[p] for part in side)) for head, side, p in zip(heads, sides, picked, strict=True)
        )
        loss = (videos @ words.T - scores[picked[0]][:, picked[1]]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def through(head: _Head) -> Callable[[Float], Float]:
        @torch.inference_mode()
        def pool(tokens: Float) -> Float:
            return np.asarray(head(*_padded([tokens]))[0].numpy(), dtype=np.float32)

        return pool

    return Way("trained head, distilled", through(heads[0]), through(heads[1]))


def _padded(rows: list[Float]) -> tuple[Tensor, Tensor]:
    """Unit tokens of several rows as a batch, and which are valid."""
    tokens = nn.utils.rnn.pad_sequence([torch.from_numpy(unit_rows(row)) for row in rows], batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    return tokens, torch.arange(tokens.shape[1]) < lengths[:, None]
