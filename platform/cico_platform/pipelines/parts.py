"""The shared sink of the pipelines: whole Parquet shards, the quarantine, and the count of every clip."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa

from cico_platform.corpus.manifest import Corpus
from cico_platform.errors import CicoError
from cico_platform.settings import OnProgress
from cico_platform.steps import write_json
from cico_platform.storage import Place, matching, read_table, write_table

Row = dict[str, Any]
QUARANTINE_FILE = "quarantine.json"
CLIPS_PER_PART = 64
SECONDS_PER_PART = 20.0


class Parts:
    """Shards `part-*.parquet` of a folder, and what was quarantined on the way.

    A shard appears whole or not at all, and what is in one is not done again: a run that was killed goes on.

    Parameters
    ----------
    folder
        Where the shards are; made if it is missing.
    schema
        Of the shards; it has a column `video_id`.
    """

    def __init__(self, folder: Place, schema: pa.Schema) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.schema = schema
        quarantine = folder / QUARANTINE_FILE
        self.quarantined: list[Row] = json.loads(quarantine.read_text()) if quarantine.is_file() else []
        self.done: set[str] = set()
        for shard in self.shards():
            self.done |= set(read_table(shard, ["video_id"])["video_id"].to_pylist())
        self._rows: list[Row] = []
        self._waiting: set[str] = set()
        self._since = time.monotonic()

    def shards(self) -> list[Place]:
        """The shards so far, in the order in which they were written."""
        return matching(self.folder, "part-*.parquet")

    def pending(self, rows: Sequence[Row]) -> list[Row]:
        """The rows whose clips an earlier try has neither written nor quarantined."""
        known = self.done | {row["video_id"] for row in self.quarantined}
        return [row for row in rows if row["video_id"] not in known]

    def add(self, clip: Row, rows: Sequence[Row]) -> None:
        """Take a clip's output rows, or put it into quarantine if it has an `error`."""
        if clip["error"]:
            reason = {"video_id": clip["video_id"], "path": clip["path"], "reason": clip["error"]}
            self.quarantined.append(reason)
            write_json(self.folder / QUARANTINE_FILE, self.quarantined)
            return
        self._rows.extend(rows)
        self._waiting.add(clip["video_id"])
        if len(self._waiting) >= CLIPS_PER_PART or time.monotonic() - self._since > SECONDS_PER_PART:
            self.flush()

    def flush(self) -> None:
        """Write what was taken since the last shard."""
        if self._waiting:
            number = len(self.shards())
            table = pa.Table.from_pylist(self._rows, schema=self.schema)
            write_table(self.folder / f"part-{number:05d}.parquet", table, compression="zstd")
            self.done |= self._waiting
        self._rows, self._waiting, self._since = [], set(), time.monotonic()


def collect(
    clips: Iterable[Row],
    total: int,
    parts: Parts,
    to_rows: Callable[[Row], Sequence[Row]],
    on_progress: OnProgress | None = None,
) -> None:
    """Write a stream of clips as shards.

    Parameters
    ----------
    clips
        Rows with `video_id`, `path`, `error` and what `to_rows` needs.
    total
        Clips that the step was given, those of earlier tries included.
    to_rows
        A clip's rows of `parts.schema`.
    """
    count = len(parts.done) + len(parts.quarantined)
    if on_progress:
        on_progress(count, total)
    for clip in clips:
        parts.add(clip, [] if clip["error"] else to_rows(clip))
        count += 1
        if on_progress:
            on_progress(count, total)
    parts.flush()


def settle(parts: Parts, corpus: Corpus, stage: str, total: int) -> tuple[int, int]:
    """Close the books: hand the quarantine to the corpus; returns how many clips were done and quarantined.

    Raises
    ------
    CicoError
        If a clip is missing, or nothing at all could be used.
    """
    done, quarantined = len(parts.done), len(parts.quarantined)
    corpus.quarantine(stage, parts.quarantined)
    (parts.folder / QUARANTINE_FILE).unlink(missing_ok=True)
    if done + quarantined != total:
        raise CicoError(
            f"{stage}: {total} clips went in, {done} came out and {quarantined} are in quarantine;"
            " run the same command again"
        )
    if total and not done:
        reason = parts.quarantined[0]["reason"]
        raise CicoError(f"{stage}: none of {total} clips could be used; the first: {reason}")
    return done, quarantined
