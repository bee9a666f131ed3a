"""Mixed sign features to the tokens that an index holds, by a retrieval model's video tower."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cico_model.model import RetrievalModel

# Videos that are embedded together.
EMBED_BATCH = 64


def pad_rows(rows: Sequence[NDArray[Any]], length: int | None = None) -> tuple[Tensor, Tensor]:
    """Features or tokens of a batch of videos, padded with zeros: float32 [B, T, F] and bool [B, T].

    T is `length`, or that of the longest video.
    """
    longest = length or max(len(value) for value in rows)
    padded = torch.zeros(len(rows), longest, rows[0].shape[1])
    valid = torch.zeros(len(rows), longest, dtype=torch.bool)
    for row, value in enumerate(rows):
        padded[row, : len(value)] = torch.from_numpy(np.array(value, dtype=np.float32))
        valid[row, : len(value)] = True
    return padded, valid


@torch.inference_mode()
def embed_features(
    model: RetrievalModel, features: Sequence[NDArray[np.float16]], device: str | torch.device = "cpu"
) -> list[NDArray[np.float16]]:
    """Tokens of videos, as an index holds them: float16 [W, D], one a window, no class token, no padding.

    Parameters
    ----------
    model
        On `device`.
    features
        [W, F] a video, of the windows that the model reads. They are embedded `EMBED_BATCH` at a time.
    """
    embedded: list[NDArray[np.float16]] = []
    for first in range(0, len(features), EMBED_BATCH):
        batch = features[first : first + EMBED_BATCH]
        padded, valid = pad_rows(batch)
        tokens = model.encode_video(padded.to(device), valid.to(device)).float().cpu().numpy()
        embedded += [tokens[row, 1 : 1 + len(values)].astype(np.float16) for row, values in enumerate(batch)]
    return embedded
