"""Token ids of training texts, each text tokenised once: an epoch's texts are mostly those of the last."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from cico_model.model import RetrievalModel

# Texts that are remembered; augmentation makes ever new ones.
MOST_TEXTS = 50_000


class TextTokens:
    """What `RetrievalModel.tokenise` gives, without the words, from memory where a text came before.

    Parameters
    ----------
    model
        Its tokenizer and its context length are used.
    most
        Texts that are remembered; when there are more, all are forgotten.

    Attributes
    ----------
    length
        Tokens that every batch is padded to; None pads to the longest text of a batch, or to the context
        length where padding counts.
    """

    def __init__(self, model: RetrievalModel, most: int = MOST_TEXTS) -> None:
        self._model, self._most = model, most
        self.length: int | None = None if model.config.mask_padding else model.config.context_length
        self._known: dict[str, Tensor] = {}

    def batch(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids [B, L] int64, 0 where padded, and valid [B, L] bool.

        Raises
        ------
        ValueError
            If a text is empty.
        """
        if len(self._known) > self._most:
            self._known.clear()
        if new := list(dict.fromkeys(text for text in texts if text not in self._known)):
            ids, valid, _ = self._model.tokenise(new)
            self._known.update((text, ids[row, valid[row]]) for row, text in enumerate(new))
        rows = [self._known[text] for text in texts]
        ids = pad_sequence(rows, batch_first=True)
        valid = torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
        missing = 0 if self.length is None else self.length - ids.shape[1]
        return functional.pad(ids, (0, missing)), functional.pad(valid, (0, missing))
