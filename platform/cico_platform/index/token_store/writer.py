"""Writing a segment: a worker adds its clips, and the segment appears whole under a name of its content."""

import hashlib
import json
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np

from cico_platform.errors import InputError
from cico_platform.index.clips import Tokens
from cico_platform.index.token_store.codecs import Codec
from cico_platform.index.token_store.files import read_bytes, said_plainly
from cico_platform.index.token_store.id_table import ids_table
from cico_platform.index.token_store.records import (
    SEGMENTS,
    VERSION,
    Layout,
    RowRange,
    SegmentInfo,
    info_from_bytes,
)
from cico_platform.index.token_store.row_numbers import MAX_ROWS
from cico_platform.index.token_store.segment_output import SegmentOutput
from cico_platform.index.token_store.store_codec import load_codec
from cico_platform.storage import Place, place

# Tokens that are encoded and written at once.
BLOCK = 4096


def segment_name(video_ids: Sequence[str], clip_keys: Sequence[str], recipe: str, layout: Layout) -> str:
    """Return the name of the segment of these clips, 32 hexadecimal digits.

    Parameters
    ----------
    recipe
        All else that decides the tokens: a hash of models and settings. For a change of a store that has been
        committed before, the store's generation too: a name whose rows were marked dead is not used again.
    """
    told = [VERSION, recipe, layout.model_dump(), list(video_ids), list(clip_keys)]
    return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()[:32]


def written_segment(
    folder: str | Place, video_ids: Sequence[str], clip_keys: Sequence[str], recipe: str, layout: Layout
) -> SegmentInfo | None:
    """Return the segment of these clips, if an earlier attempt has written it and it need not be computed.

    Raises
    ------
    DamagedFileError
        If the file that describes it is damaged.
    """
    name = segment_name(video_ids, clip_keys, recipe, layout)
    path = place(folder) / SEGMENTS / f"{name}.json"
    with said_plainly(place(folder), "a token store cannot be read from"):
        try:
            return info_from_bytes(read_bytes(path), str(path))
        except FileNotFoundError:
            return None


class SegmentWriter:
    """Writes one segment of a store.

    Memory holds the clips' ids and up to 4,096 tokens. A segment should have 64 to 256 MB; it has at most
    1,048,576 clips. Until it is committed (`changes.add_segments`), readers do not see it.

    Parameters
    ----------
    folder
        Folder or URL of the store.
    layout
        Of the store, as `TokenStore.layout` says it.
    recipe
        As in `segment_name`.

    Raises
    ------
    InputError
        For a clip without tokens, of another width, with numbers that half precision cannot hold, or twice.
    CicoError
        If files cannot be written. None of them is left then.

    Examples
    --------
    >>> import tempfile
    >>> from cico_platform.index.token_store.changes import add_segments, create_store
    >>> from cico_platform.index.token_store.store import TokenStore
    >>> folder = tempfile.mkdtemp()
    >>> layout = create_store(folder, dim=4)
    >>> with SegmentWriter(folder, layout, recipe="example") as writer:
    ...     row = writer.add("clip", "key", np.eye(4, dtype=np.float16))
    ...     segment = writer.finish()
    >>> _ = add_segments(folder, [segment])
    >>> with TokenStore.open(folder) as store:
    ...     store.tokens(store.find(["clip"])).lengths.tolist()
    [4]
    """

    def __init__(self, folder: str | Place, layout: Layout, recipe: str) -> None:
        self.place, self.layout, self.recipe = place(folder), layout, recipe
        self._codec: Codec = load_codec(self.place, layout)
        self._names: dict[str, str] = {}
        self._waiting: list[Tokens] = []
        self._waiting_tokens = 0
        self._output = SegmentOutput(self.place, layout)

    def __len__(self) -> int:
        """Return how many clips were added."""
        return len(self._names)

    def add(self, video_id: str, clip_key: str, tokens: Tokens) -> int:
        """Add a clip with its tokens, float [T, D]; returns its row within the segment."""
        if video_id in self._names:
            raise InputError(f"clip '{video_id}' was added to this segment before")
        if len(self._names) == MAX_ROWS:
            raise InputError(f"a segment holds {MAX_ROWS} clips at most; write another one")
        self._waiting.append(_checked(video_id, tokens, self.layout.dim))
        self._waiting_tokens += len(tokens)
        self._names[video_id] = clip_key
        if self._waiting_tokens >= BLOCK:
            self._flush()
        return len(self._names) - 1

    def finish(self) -> SegmentInfo:
        """Write the segment; returns what `add_segments` commits.

        Raises
        ------
        InputError
            If no clip was added.
        """
        if not self._names:
            raise InputError("a segment without clips is not written")
        self._flush()
        ids, keys = list(self._names), list(self._names.values())
        name = segment_name(ids, keys, self.recipe, self.layout)
        return self._output.finish(name, (RowRange(name=name, rows=len(ids)),), ids_table(ids, keys))

    def close(self) -> None:
        """Leave nothing behind of a segment that was not finished."""
        self._output.close()

    def _flush(self) -> None:
        if self._waiting:
            lengths = np.array([len(tokens) for tokens in self._waiting], np.int64)
            self._output.add(lengths, self._codec.encode(np.concatenate(self._waiting)))
            self._waiting, self._waiting_tokens = [], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _checked(video_id: str, tokens: Tokens, dim: int) -> Tokens:
    if tokens.ndim != 2 or tokens.shape[1] != dim or not len(tokens):
        raise InputError(f"clip '{video_id}': tokens {tokens.shape}, not [1 or more, {dim}]")
    with np.errstate(over="ignore"):
        kept = np.asarray(tokens, dtype=np.float16)
    if not np.isfinite(kept).all():
        raise InputError(f"clip '{video_id}': tokens with numbers that are not finite in half precision")
    return kept.copy() if kept is tokens else kept  # the caller may reuse its array
