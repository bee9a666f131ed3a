"""The distinct texts of a collection with their tokens: what a query video is compared with."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cico_model.text_cleaning import clean_text
from cico_model.words import has_word
from cico_platform.encoding.texts import TextQuery
from cico_platform.index.base import VectorIndex
from cico_platform.index.embedded import COLLECTIONS, EmbeddedIndex
from cico_platform.index.set_encoding import point_vector, set_encoder
from cico_platform.index.token_file import Place, TokenFile
from cico_platform.steps import write_json

TEXTS_FILE, TEXT_TOKENS_FILE = "texts.json", "texts.f16"
BATCH = 64
# Of what is kept; banks with other ones are made again. 2: words are those of Unicode.
VERSION = "2"


@dataclass(frozen=True)
class TextEntry:
    """A text, the clips that say it, its words with their tokens' positions, and where its tokens lie."""

    text: str
    video_ids: list[str]
    words: list[tuple[str, list[int]]]
    place: Place


class TextBank:
    """Texts of a collection; their tokens are in a file, encoded once and kept beside an embedded index."""

    def __init__(self, entries: list[TextEntry], file: TokenFile, folder: object = None) -> None:
        self.entries, self._file = entries, file
        self._folder = folder  # a temporary one lives as long as the bank
        self.by_video = {v: i for i, entry in enumerate(entries) for v in entry.video_ids}
        vectors = [point_vector(self.tokens(i)) for i in range(len(entries))]
        self.pooled: NDArray[np.float32] = (
            np.stack(vectors) if vectors else np.zeros((0, set_encoder(file.dim).size), np.float32)
        )

    def tokens(self, number: int) -> NDArray[np.float32]:
        """Tokens of a text, float32 [L, D]."""
        return self._file.read(self.entries[number].place).astype(np.float32)


class TextBankBuilder:
    """Makes a collection's text bank: `missing` says what must be encoded, `build` takes it.

    The two steps let a caller that encodes elsewhere (another process) wait in its own way.
    """

    def __init__(self, index: VectorIndex, collection: str, dim: int) -> None:
        self.dim = dim
        self._kept: tempfile.TemporaryDirectory[str] | None = None
        if isinstance(index, EmbeddedIndex):
            self.folder = index.path / COLLECTIONS / collection
        else:
            self._kept = tempfile.TemporaryDirectory(prefix="cico-texts-")
            self.folder = Path(self._kept.name)
        self.clips = _clips_by_text(index, collection)
        self.key = hashlib.sha256("\0".join([VERSION, *self.clips]).encode()).hexdigest()

    def missing(self) -> list[str]:
        """The texts to encode: none if they were encoded before."""
        known = self.folder / TEXTS_FILE
        if known.is_file() and json.loads(known.read_text(encoding="utf-8"))["key"] == self.key:
            return []
        return list(self.clips)

    def build(self, encoded: Iterable[TextQuery]) -> TextBank:
        """The bank, from the queries of what was `missing`, in that order."""
        known, tokens = self.folder / TEXTS_FILE, self.folder / TEXT_TOKENS_FILE
        if self.missing():
            known.unlink(missing_ok=True)
            tokens.unlink(missing_ok=True)
            file, rows = TokenFile(tokens, self.dim), []
            for query in encoded:
                rows.append({"words": query.words, "place": file.append([query.tokens], sync=False)[0]})
            write_json(known, {"key": self.key, "rows": rows})
        rows = json.loads(known.read_text(encoding="utf-8"))["rows"]
        entries = [
            TextEntry(text, ids, [(w, p) for w, p in row["words"]], (row["place"][0], row["place"][1]))
            for (text, ids), row in zip(self.clips.items(), rows, strict=True)
        ]
        return TextBank(entries, TokenFile(tokens, self.dim), self._kept)


def open_text_bank(
    index: VectorIndex,
    collection: str,
    dim: int,
    encode: Callable[[Sequence[str]], list[TextQuery]],
) -> TextBank:
    """The text bank of a collection; texts that were never encoded are, in batches."""
    builder = TextBankBuilder(index, collection, dim)
    missing = builder.missing()
    batches = (encode(missing[i : i + BATCH]) for i in range(0, len(missing), BATCH))
    return builder.build(query for batch in batches for query in batch)


def _clips_by_text(index: VectorIndex, collection: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for hit in index.fetch(collection, fields=("text",)):
        text = clean_text(str(hit.payload.get("text") or ""))
        if has_word(text):
            found.setdefault(text, []).append(hit.video_id)
    return dict(sorted(found.items()))
