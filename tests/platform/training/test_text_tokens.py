"""Remembered token ids are those of the tokenizer, whatever came before."""

from dataclasses import replace

import pytest
import torch

from cico_model.config import TOWERS
from cico_model.model import RetrievalModel
from cico_model.text import CorpusTokenizer
from cico_platform.training.text_tokens import TextTokens

TEXTS = ["the cat sleeps", "a dog", "the small dog sees the cat and the other dog", "a dog", "cat"]


@pytest.mark.parametrize("mask_padding", [True, False])
@pytest.mark.parametrize("most", [0, 2, 100])
def test_tokens_are_those_of_the_tokenizer(mask_padding: bool, most: int) -> None:
    config = replace(TOWERS["tiny"], context_length=8, mask_padding=mask_padding)
    model = RetrievalModel(config, CorpusTokenizer.train(TEXTS))
    tokens = TextTokens(model, most)
    for texts in (TEXTS, TEXTS[1:2], TEXTS[::-1], ["an unseen one", *TEXTS[:2]]):
        wanted = model.tokenise(texts)
        ids, valid = tokens.batch(texts)
        assert torch.equal(ids, wanted.ids)
        assert torch.equal(valid, wanted.valid)


def test_an_empty_text_is_refused() -> None:
    tokens = TextTokens(RetrievalModel(TOWERS["tiny"], CorpusTokenizer.train(TEXTS)))
    with pytest.raises(ValueError, match="empty"):
        tokens.batch(["a dog", "  "])
