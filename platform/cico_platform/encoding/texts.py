"""Texts to text tokens: what people type, and the texts of an index."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cico_model.model import RetrievalModel
from cico_model.text_cleaning import clean_text
from cico_model.words import has_word
from cico_platform.encoding.limits import MAX_TEXT
from cico_platform.errors import InputError


class TextQuery(NamedTuple):
    """A text's valid tokens, float32 [L, D], and its words with the positions of their tokens."""

    tokens: NDArray[np.float32]
    words: list[tuple[str, list[int]]]


def check_text(text: str) -> str:
    """A query's text, clean.

    Raises
    ------
    InputError
        If no letter and no digit is left of it, or it is longer than a sentence can be.
    """
    if len(text) > MAX_TEXT:
        raise InputError(f"the text has {len(text)} characters; at most {MAX_TEXT} are searched for")
    text = clean_text(text)
    if not has_word(text):
        raise InputError("the text is empty; type the sentence to look for")
    return text


@torch.inference_mode()
def encode_texts(model: RetrievalModel, texts: Sequence[str]) -> list[TextQuery]:
    """Texts to queries, in one batch."""
    encoded = model.encode_text(list(texts))
    tokens, valid = encoded.tokens.float().cpu(), encoded.valid.cpu()
    return [
        TextQuery(tokens[i][valid[i]].numpy(), [(word.text, list(word.positions)) for word in words])
        for i, words in enumerate(encoded.words)
    ]
