"""Texts to tokens and back to words: CLIP's own tokenizer, and one trained on a corpus."""

import bisect
import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from tokenizers import Tokenizer as Backend
from torch import Tensor

from cico_model.byte_pairs import (
    END,
    PAD,
    START,
    WORD_BREAK,
    clip_splitter,
    has_word_breaks,
    train_definition,
)
from cico_model.text_augmentation import augment_text
from cico_model.text_cleaning import clean_text, display_text
from cico_model.words import find_words, mark_breaks

__all__ = [
    "ClipTokenizer",
    "CorpusTokenizer",
    "Piece",
    "TextTokenizer",
    "TokenBatch",
    "Word",
    "assemble",
    "augment_text",
    "clean_text",
    "clip_backend",
    "clip_spans",
    "display_text",
    "find_words",
    "load_tokenizer",
    "truncate",
]

CORPUS_FILE, CLIP_FILE = "tokenizer.json", "clip_tokenizer.json"


class Word(NamedTuple):
    """A word of a text and the positions of its tokens; none are left if truncation dropped them all."""

    text: str
    positions: list[int]


class TokenBatch(NamedTuple):
    """Token ids [B, L] int64, 0 where padded; valid [B, L] bool; each text's words."""

    ids: Tensor
    valid: Tensor
    words: list[list[Word]]


class Piece(NamedTuple):
    """A token id and the characters of the cleaned text that it stands for."""

    id: int
    start: int
    end: int


class TextTokenizer(Protocol):
    """What the text tower needs of a tokenizer."""

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        ...

    def encode(self, texts: Sequence[str], context_length: int = 32) -> TokenBatch:
        """Tokens of a batch of texts, at most `context_length` each."""
        ...

    def save(self, folder: str | Path) -> None:
        """Write what `load_tokenizer` reads."""
        ...


class ClipTokenizer:
    """The tokenizer of CLIP and of published CiCo checkpoints; its vocabulary comes with a package."""

    vocab_size = 49408

    def encode(self, texts: Sequence[str], context_length: int = 32) -> TokenBatch:
        """Tokens of a batch of texts: start, byte pairs, end, padded with 0 to the longest.

        Raises
        ------
        ValueError
            If a text is empty: its row is named.
        """
        backend = clip_backend()
        pieces, cleaned = [], [clean_text(text) for text in texts]
        for text in cleaned:
            row: list[Piece] = []
            for part, (start, _) in clip_splitter().pre_tokenize_str(text):
                ids = backend.encode(part)
                spans = clip_spans(part, ids)
                row += [Piece(i, start + s, start + e) for i, (s, e) in zip(ids, spans, strict=True)]
            pieces.append(row)
        return assemble(pieces, cleaned, (backend.start_of_text(), backend.end_of_text()), context_length)

    def save(self, folder: str | Path) -> None:
        """Write a marker: the vocabulary itself is the package's."""
        (Path(folder) / CLIP_FILE).write_text(json.dumps({"vocabulary": "clip"}), encoding="utf-8")


class CorpusTokenizer:
    """A CLIP-style byte-pair tokenizer trained on a corpus' texts: small, and nothing to download.

    An unseen word falls apart into known byte pairs or single bytes: nothing is lost.

    Examples
    --------
    >>> tokenizer = CorpusTokenizer.train(["the cat sleeps", "the cat eats"])
    >>> batch = tokenizer.encode(["The cat!"])
    >>> [word.text for word in batch.words[0]], tokenizer.decode(batch.ids[0])
    (['the', 'cat'], 'the cat !')
    """

    def __init__(self, definition: str) -> None:
        from transformers import PreTrainedTokenizerFast

        backend = Backend.from_str(definition)
        self.fast: Any = PreTrainedTokenizerFast(
            tokenizer_object=backend, pad_token=PAD, bos_token=START, eos_token=END
        )
        self._backend: Any = self.fast.backend_tokenizer
        self._breaks = has_word_breaks(definition)
        self._backend.encode_special_tokens = True  # a text that holds "<|endoftext|>" means the characters
        self._ends = (int(self.fast.bos_token_id), int(self.fast.eos_token_id))

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 2000) -> "CorpusTokenizer":
        """Learn the byte pairs of a corpus' texts; the same texts give the same tokenizer."""
        marked = [mark_breaks(clean_text(text), WORD_BREAK)[0] for text in texts]
        return cls(train_definition(marked, vocab_size))

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return int(self._backend.get_vocab_size())

    def encode(self, texts: Sequence[str], context_length: int = 32) -> TokenBatch:
        """Tokens of a batch of texts: start, byte pairs, end, padded with 0 to the longest.

        Raises
        ------
        ValueError
            If a text is empty: its row is named.
        """
        cleaned = [clean_text(text) for text in texts]
        marked = [mark_breaks(text, WORD_BREAK) if self._breaks else (text, []) for text in cleaned]
        encodings = self._backend.encode_batch([text for text, _ in marked], add_special_tokens=False)
        pieces = [
            [
                Piece(i, start - bisect.bisect(marks, start), end - bisect.bisect(marks, end - 1))
                for i, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            ]
            for encoding, (_, marks) in zip(encodings, marked, strict=True)
        ]
        return assemble(pieces, cleaned, self._ends, context_length)

    def decode(self, ids: Tensor) -> str:
        """The text of one row of ids, without start, end and padding."""
        kept = [int(i) for i in ids if int(i) not in (0, *self._ends)]
        return str(self._backend.decode(kept)).strip()

    def save(self, folder: str | Path) -> None:
        """Write `tokenizer.json` and the files beside it that `transformers` reads.

        Where a script writes no spaces, `transformers` gives the same ids only if it is given the text with
        its word breaks.
        """
        self.fast.save_pretrained(str(folder))

    def __reduce__(self) -> tuple[type["CorpusTokenizer"], tuple[str]]:
        return CorpusTokenizer, (self._backend.to_str(),)


def load_tokenizer(folder: str | Path) -> TextTokenizer:
    """The tokenizer that was saved in a folder.

    Raises
    ------
    ValueError
        If there is none.
    """
    folder = Path(folder)
    if (folder / CLIP_FILE).is_file():
        return ClipTokenizer()
    if (folder / CORPUS_FILE).is_file():
        return CorpusTokenizer((folder / CORPUS_FILE).read_text(encoding="utf-8"))
    raise ValueError(f"'{folder}' holds no tokenizer: neither {CORPUS_FILE} nor {CLIP_FILE}")


def truncate(count: int, context_length: int) -> list[int]:
    """Which of `count` tokens stay between start and end: all, or as many as fit, spread evenly (method 5).

    Examples
    --------
    >>> truncate(5, 8), truncate(10, 6)
    ([0, 1, 2, 3, 4], [0, 3, 6, 9])
    """
    room = context_length - 2
    if count <= room:
        return list(range(count))
    return [int(i) for i in np.linspace(0, count - 1, room, dtype=int)]


def assemble(
    rows: Sequence[Sequence[Piece]], texts: Sequence[str], ends: tuple[int, int], context_length: int
) -> TokenBatch:
    """Truncate, frame with start and end, pad, and say which tokens make up each word."""
    if context_length < 3:
        raise ValueError(f"a text needs a context of 3 tokens or more, not {context_length}")
    kept: list[list[Piece]] = []
    for number, row in enumerate(rows):
        if not row:
            raise ValueError(f"text {number} is empty")
        kept.append([row[i] for i in truncate(len(row), context_length)])
    longest = 2 + max((len(row) for row in kept), default=0)
    ids = torch.zeros(len(kept), longest, dtype=torch.int64)
    valid = torch.zeros(len(kept), longest, dtype=torch.bool)
    words: list[list[Word]] = []
    for number, (row, text) in enumerate(zip(kept, texts, strict=True)):
        sequence = [ends[0], *(piece.id for piece in row), ends[1]]
        ids[number, : len(sequence)] = torch.tensor(sequence)
        valid[number, : len(sequence)] = True
        words.append(
            [
                Word(word, [1 + i for i, piece in enumerate(row) if piece.start < end and start < piece.end])
                for word, start, end in find_words(text)
            ]
        )
    return TokenBatch(ids, valid, words)


@functools.cache
def clip_backend() -> Any:
    """CLIP's byte pairs, read once a process."""
    from instant_clip_tokenizer import Tokenizer

    return Tokenizer()


def clip_spans(piece: str, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Return the span of characters in a piece that each of its CLIP tokens covers, in whole or in part.

    Examples
    --------
    >>> clip_spans("我喝", clip_backend().encode("我喝"))
    [(0, 1), (0, 1), (0, 1), (1, 2), (1, 2), (1, 2)]
    """
    whole = [(0, len(piece))] * len(ids)
    if piece.isascii() or len(ids) == 1:  # lies within one word
        return whole
    spans, done = [], 0
    for count in range(1, len(ids) + 1):
        said = clip_backend().decode(ids[:count]).removesuffix(" ")
        pairs = enumerate(zip(said, piece, strict=False))
        complete = next((i for i, (one, other) in pairs if one != other), min(len(said), len(piece)))
        # A character that is not complete yet is decoded as a replacement.
        spans.append((done, min(complete + (len(said) > complete), len(piece))))
        done = complete
    return spans if done == len(piece) else whole
