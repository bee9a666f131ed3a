"""Searching an index in this process: by a sentence, or by a sign video."""

import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cico_model.alignment import WordSpan
from cico_model.calibration import Calibration
from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform.encoding.clip_encoder import ClipEncoder
from cico_platform.encoding.long_videos import read_long_video
from cico_platform.encoding.texts import check_text, encode_texts
from cico_platform.encoding.video_queries import encode_video
from cico_platform.errors import InputError
from cico_platform.index.base import VectorIndex, open_index
from cico_platform.index.clips import MAX_LIMIT, Filters
from cico_platform.index.inside import find_inside
from cico_platform.index.ranking import Ranked, Ranking, Stages
from cico_platform.index.serving_info import DEFAULT_ALIAS, ServingInfo, clip_encoder_of, live_serving
from cico_platform.storage import on_this_machine


class Searcher:
    """Answers from the live collection of an index with the models that it was built with.

    Examples
    --------
    >>> with Searcher.open("demo/index") as searcher:  # doctest: +SKIP
    ...     searcher.by_text("the boy reads a book")[0]["video_id"]
    """

    def __init__(self, index: VectorIndex, info: ServingInfo, stages: Stages | None = None) -> None:
        self.index, self.info = index, info
        self.model = load_retrieval_model(on_this_machine(info.model))
        self.ranking = Ranking(index, info.collection, self.model.config, stages)
        self._encoder: ClipEncoder | None = None
        self._loading = threading.Lock()

    @classmethod
    def open(cls, location: str | Path, alias: str = DEFAULT_ALIAS, stages: Stages | None = None) -> Self:
        """Open the index at a path or URL.

        Raises
        ------
        InputError
            If there is no index.
        CicoError
            If another process owns it, or nothing in it is live.
        """
        index = open_index(str(location), must_exist=True)
        try:
            return cls(index, live_serving(index, alias), stages)
        except BaseException:
            index.close()
            raise

    def by_text(self, text: str, limit: int = 10, filters: Filters | None = None) -> list[dict[str, Any]]:
        """The clips that say a sentence, best first.

        Returns
        -------
        list[dict]
            `video_id, text, score, path, start, end, words: [{word, start, end, weight}]`. `start` and `end`
            are the clip's place in its file in seconds; the words' are seconds within the clip. The score is
            a weighted cosine (-1 to 1), comparable within one collection. Where the collection was
            calibrated, `probability` says how likely a result is right.
        """
        query = encode_texts(self.model, [check_text(text)])[0]
        found = self.ranking.by_text(query, check_limit(limit), filters)
        return [row(ranked, self.info.calibrations.get("text")) for ranked in found]

    def by_video(
        self, path: str | Path, limit: int = 10, filters: Filters | None = None
    ) -> list[dict[str, Any]]:
        """The sentences that a video may sign, best first: rows as `by_text`, one a sentence."""
        check_limit(limit)
        query = encode_video(path, self.clip_encoder())
        found = self.ranking.by_video(query, limit, filters)
        return [row(ranked, self.info.calibrations.get("video")) for ranked in found]

    def inside(self, text: str, path: str | Path, limit: int = 10) -> dict[str, Any]:
        """The parts of a long video in which a sentence may be signed, best first; none overlaps another.

        Returns
        -------
        dict
            `ranges`, each `start, end, score, words: [{word, start, end, weight}]`, all in seconds within the
            video; `read_seconds`, less than the video is long if the rest of it can't be decoded.
        """
        query = encode_texts(self.model, [check_text(text)])[0]
        check_limit(limit)
        video = read_long_video(path, self.clip_encoder())
        inside = find_inside(video, query, self.model, limit)
        ranges = [
            {
                "start": round(found.start, 3),
                "end": round(found.end, 3),
                "score": round(found.score, 6),
                "words": word_rows(found.words),
            }
            for found in inside.ranges
        ]
        return {"ranges": ranges, "read_seconds": round(inside.read, 3)}

    def clip_encoder(self) -> ClipEncoder:
        """The way from a video to the collection's tokens, loaded at first use."""
        with self._loading:
            if self._encoder is None:
                self._encoder = clip_encoder_of(self.info, self.model)
            return self._encoder

    def nothing_fits(self, way: str, rows: list[dict[str, Any]]) -> bool | None:
        """Whether the best of the rows of a search by `text` or `video` is likelier no answer.

        None where the collection was not calibrated.
        """
        known = self.info.calibrations.get(way)
        return None if known is None else not rows or not known.fits(rows[0]["score"])

    def close(self) -> None:
        """Let go of the index."""
        self.index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_limit(limit: int) -> int:
    """The limit itself, once it is known to be between 1 and 100.

    Raises
    ------
    InputError
        If it is not.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InputError(f"the limit must be between 1 and {MAX_LIMIT}, not {limit}")
    return limit


def clip_times(payload: dict[str, Any]) -> tuple[float, float]:
    """Where a clip lies in its file, in seconds: the whole file from 0 where the manifest names no part."""
    start = float(payload.get("start") or 0.0)
    end = payload.get("end")
    return start, float(end) if end is not None else start + float(payload.get("duration") or 0.0)


def row(ranked: Ranked, calibration: Calibration | None = None) -> dict[str, Any]:
    """A result as the command line gives it."""
    payload = ranked.hit.payload
    start, end = clip_times(payload)
    known = {} if calibration is None else {"probability": round(calibration.probability(ranked.score), 4)}
    return {
        "video_id": ranked.hit.video_id,
        "text": str(payload.get("text") or ""),
        "score": round(ranked.score, 6),
        **known,
        "path": str(payload.get("path") or ""),
        "start": round(start, 3),
        "end": round(end, 3),
        "words": word_rows(ranked.words),
    }


def word_rows(words: Sequence[WordSpan]) -> list[dict[str, Any]]:
    """When words are signed, as the command line gives it."""
    return [
        {"word": s.word, "start": round(s.start, 3), "end": round(s.end, 3), "weight": round(s.weight, 4)}
        for s in words
    ]
