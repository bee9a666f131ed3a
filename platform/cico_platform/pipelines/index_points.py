"""Points of an index: a clip's tokens with its row of the manifest, in whichever process has the tokens."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.corpus.manifest_rows import manifest_rows
from cico_platform.index.clips import IndexedClip
from cico_platform.index.texts import with_text_key
from cico_platform.index.token_storage import merge_tokens
from cico_platform.schemas.clips import MANIFEST_SCHEMA
from cico_platform.schemas.tokens import ClipTokens

DEFAULT_FPS = 25.0
# Seconds: a quarter of a frame.
SAME_TIME = 0.01


@dataclass(frozen=True)
class PointMaker:
    """Makes points of clips whose tokens are known.

    Attributes
    ----------
    corpus
        Folder of the corpus, as every worker finds it.
    name
        What the corpus is called.
    recipe, merge
        As in `ServingInfo`.
    """

    corpus: str
    name: str
    recipe: str
    merge: int = 1

    def points(
        self, tokens: Sequence[ClipTokens], rows: NDArray[np.int64], keys: Sequence[str]
    ) -> Iterator[IndexedClip]:
        """Yield the points of clips.

        Parameters
        ----------
        rows, keys
            Of each clip: the number of its row in the manifest, and the key of its point.
        """
        corpus, table = Corpus(self.corpus), manifest_rows(self.corpus, rows, MANIFEST_SCHEMA.names)
        for row, clip, key in zip(tokens, table.to_pylist(), keys, strict=True):
            yield self._point(corpus, row, Clip(**clip), key)

    def _point(self, corpus: Corpus, row: ClipTokens, clip: Clip, key: str) -> IndexedClip:
        tokens, starts = merge_tokens(row.tokens, row.window_starts.tolist(), self.merge)
        payload = {"corpus": self.name, **_payload(corpus, clip, starts, _times_by_start(row))}
        payload |= {"clip_key": key, "model_id": self.recipe}
        return IndexedClip(clip.video_id, tokens, with_text_key(payload))


def _times_by_start(row: ClipTokens) -> dict[int, tuple[float, float]]:
    """Begin and end of each window, by its first frame; empty where an earlier version did not store them."""
    spans = [(begin, end) for begin, end in row.window_times.tolist()]
    return dict(zip(row.window_starts.tolist(), spans, strict=False))


def _payload(
    corpus: Corpus, clip: Clip, window_starts: list[int], times: Mapping[int, tuple[float, float]]
) -> dict[str, Any]:
    """What people filter by and see of a clip; what is not known is absent."""
    fps = clip.fps or DEFAULT_FPS
    # The last window ends with the clip.
    duration = times[max(times)][1] if times else clip.frames / fps if clip.frames else None
    if clip.end is not None:
        duration = clip.end - (clip.start or 0.0)
    known = {
        **asdict(clip),
        "path": corpus.resolve(clip),
        "fps": fps,
        "duration": duration,
        "window_starts": window_starts,
    }
    # Times that a constant rate tells anyway would only make answers of a server larger.
    if any(abs(times[s][0] - s / fps) > SAME_TIME for s in window_starts if s in times):
        known["window_times"] = [round(time, 4) for s in window_starts for time in times[s]]
    return {name: value for name, value in known.items() if value is not None}
