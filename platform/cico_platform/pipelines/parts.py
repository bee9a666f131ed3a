"""The shared sink of the pipelines: whole Parquet shards, the quarantine, and the books of every clip."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cico_platform.corpus.manifest import Corpus
from cico_platform.errors import CicoError
from cico_platform.settings import OnProgress
from cico_platform.steps import write_json
from cico_platform.storage import Place, copy_file, matching, read_table, write_table

Row = dict[str, Any]
QUARANTINE_FILE = "quarantine.json"
CLIPS_FILE = "clips.parquet"
CLIPS_PER_PART = 64
CLIPS_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("clip_key", pa.string(), nullable=False),
        pa.field("outcome", pa.string()),
        pa.field("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class Ledger:
    """Config hash of a folder's shards, and the key of each clip in them.

    `encoding` names how their features were computed (`EncodingSettings.encoding`); "" where they hold none.
    """

    recipe: str = ""
    encoding: str = ""
    keys: dict[str, str] = field(default_factory=dict)


class Parts:
    """Shards of a folder, and what was quarantined on the way.

    Each batch is written as it comes, as `tail-*.parquet`; many of them become one `part-*.parquet`. A shard
    appears whole or not at all, and what is in one is not done again: a run that was killed repeats no more
    than what its encoders had in hand. `clips.parquet` says of which clips the shards are.

    Parameters
    ----------
    folder
        Where the shards are; made if it is missing.
    schema
        Of the shards; it has a column `video_id`.
    recipe
        Names everything but the clips that decides the rows: weights, settings.
    keys
        Each clip's `clip_key`, by `video_id`.
    encoding
        For shards that hold features; see `Ledger`.
    """

    def __init__(
        self, folder: Place, schema: pa.Schema, recipe: str, keys: dict[str, str], encoding: str = ""
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.schema, self.recipe, self.keys = folder, schema, recipe, keys
        self.encoding = encoding
        quarantine = folder / QUARANTINE_FILE
        self.quarantined: list[Row] = json.loads(quarantine.read_text()) if quarantine.is_file() else []
        self.done: set[str] = set()
        self.reused: set[str] = set()
        for shard in self.shards():
            self.done |= clips_of(shard)
        self._tail: list[pa.Table] = []
        self._tail_clips = 0
        for shard in matching(folder, "tail-*.parquet"):
            self._resume_tail(shard)
        self._numbers = {"part": _next(folder, "part"), "tail": _next(folder, "tail")}
        if not (folder / CLIPS_FILE).is_file():
            self._write_clips({})

    def shards(self) -> list[Place]:
        """The shards so far, in the order in which they were written."""
        return matching(self.folder, "part-*.parquet")

    def take_over(self, earlier: Place) -> None:
        """Take what another folder of the same recipe holds of clips that have not changed since."""
        ledger = read_ledger(earlier)
        if ledger.recipe != self.recipe:
            return
        same = {name for name, key in ledger.keys.items() if self.keys.get(name) == key}
        for kind in ("part", "tail") if same else ():
            for shard in matching(earlier, f"{kind}-*.parquet"):
                held = clips_of(shard)
                self.reused |= held & same
                wanted = (held & same) - self.done
                if wanted == held:
                    copy_file(shard, self._name("part"))
                elif wanted:
                    table = read_table(shard)
                    kept = table.filter(pc.is_in(table["video_id"], pa.array(sorted(wanted))))
                    write_table(self._name("part"), kept, compression="zstd")
                self.done |= wanted

    def pending(self, rows: Sequence[Row]) -> list[Row]:
        """The rows whose clips an earlier try has neither written nor quarantined."""
        known = self.done | {row["video_id"] for row in self.quarantined}
        return [row for row in rows if row["video_id"] not in known]

    def add(self, clips: Sequence[Row], rows: Sequence[Row]) -> None:
        """Write a batch: the output rows of the clips without `error`; the others go into quarantine."""
        failed = [
            {"video_id": clip["video_id"], "path": clip["path"], "reason": clip["error"]}
            for clip in clips
            if clip["error"]
        ]
        if failed:
            self.quarantined.extend(failed)
            write_json(self.folder / QUARANTINE_FILE, self.quarantined)
        written = {clip["video_id"] for clip in clips if not clip["error"]}
        if written:
            table = pa.Table.from_pylist(list(rows), schema=self.schema)
            write_table(self._name("tail"), table, compression="zstd")
            self.done |= written
            self._tail.append(table)
            self._tail_clips += len(written)
        if self._tail_clips >= CLIPS_PER_PART:
            self.close_part()

    def close_part(self) -> None:
        """Make the batches since the last part a part of their own."""
        if self._tail:
            write_table(self._name("part"), pa.concat_tables(self._tail), compression="zstd")
        for shard in matching(self.folder, "tail-*.parquet"):
            shard.unlink(missing_ok=True)
        self._tail, self._tail_clips = [], 0

    def finish(self) -> None:
        """Write each clip's outcome into `clips.parquet`."""
        self.close_part()
        self._write_clips({row["video_id"]: row["reason"] for row in self.quarantined})
        (self.folder / QUARANTINE_FILE).unlink(missing_ok=True)

    def _name(self, kind: str) -> Place:
        number = self._numbers[kind]
        self._numbers[kind] += 1
        return self.folder / f"{kind}-{number:05d}.parquet"

    def _resume_tail(self, shard: Place) -> None:
        """Go on with a batch of an earlier try, unless its part was written just before that was cut."""
        names = clips_of(shard)
        if names <= self.done:
            shard.unlink(missing_ok=True)
            return
        self._tail.append(read_table(shard))
        self._tail_clips += len(names)
        self.done |= names

    def _write_clips(self, reasons: dict[str, str]) -> None:
        rows = [
            {
                "video_id": name,
                "clip_key": key,
                "outcome": "done" if name in self.done else "quarantined" if name in reasons else None,
                "reason": reasons.get(name),
            }
            for name, key in self.keys.items()
        ]
        schema = CLIPS_SCHEMA.with_metadata({"recipe": self.recipe, "encoding": self.encoding})
        write_table(self.folder / CLIPS_FILE, pa.Table.from_pylist(rows, schema=schema))


def collect(
    batches: Iterable[Sequence[Row]],
    parts: Parts,
    to_rows: Callable[[Row], Sequence[Row]],
    on_progress: OnProgress | None = None,
) -> None:
    """Write a stream of batches of clips as shards.

    Parameters
    ----------
    batches
        Of rows with `video_id`, `path`, `error`, `windows` and what `to_rows` needs.
    to_rows
        A clip's rows of `parts.schema`.
    """
    total, windows = len(parts.keys), 0

    def report() -> None:
        if on_progress:
            quarantined = len(parts.quarantined)
            on_progress(len(parts.done) + quarantined, total, quarantined=quarantined, windows=windows)

    report()
    for clips in batches:
        parts.add(clips, [row for clip in clips if not clip["error"] for row in to_rows(clip)])
        windows += sum(clip["windows"] for clip in clips)
        report()


def settle(parts: Parts, corpus: Corpus, stage: str) -> dict[str, int]:
    """Close the books, and hand the quarantine to the corpus; see `close_books`."""
    corpus.quarantine(stage, parts.quarantined)
    return close_books(parts, stage)


def close_books(parts: Parts, stage: str) -> dict[str, int]:
    """Check that every clip ended somewhere; returns the counts of the step's summary.

    Clips whose rows come from an earlier output count as skipped.

    Raises
    ------
    CicoError
        If a clip is missing, or nothing at all could be used.
    """
    total, done, quarantined = len(parts.keys), len(parts.done), len(parts.quarantined)
    if total and not done:
        first = parts.quarantined[0]["reason"] if quarantined else "no reason is known"
        raise CicoError(f"{stage}: none of {total} clips could be used; the first: {first}")
    if done + quarantined != total:
        raise CicoError(
            f"{stage}: {total} clips went in, {done} came out and {quarantined} are in quarantine;"
            " run the same command again"
        )
    parts.finish()
    skipped = len(parts.reused)
    return {"done": done - skipped, "skipped": skipped, "quarantined": quarantined}


def shortcomings(parts: Parts) -> dict[str, int]:
    """Count the clips that are `truncated` and those that are `short`, from the shards' columns."""
    found: dict[str, set[str]] = {"truncated": set(), "short": set()}
    for shard in parts.shards():
        table = read_table(shard, ["video_id", *found])
        for name, clips in found.items():
            clips.update(table.filter(pc.fill_null(table[name], False))["video_id"].to_pylist())
    return {name: len(clips) for name, clips in found.items()}


def read_ledger(folder: Place) -> Ledger:
    """The ledger of a folder's shards; an empty one if the folder has none."""
    path = folder / CLIPS_FILE
    if not path.is_file():
        return Ledger()
    table = read_table(path)
    told = {
        name: (table.schema.metadata or {}).get(name.encode(), b"").decode()
        for name in ("recipe", "encoding")
    }
    rows = zip(*(table[name].to_pylist() for name in ("video_id", "clip_key", "outcome")), strict=True)
    return Ledger(**told, keys={name: key for name, key, outcome in rows if outcome != "quarantined"})


def clips_of(shard: Place) -> set[str]:
    """The clips that have rows in a shard."""
    return set(read_table(shard, ["video_id"])["video_id"].to_pylist())


def _next(folder: Place, kind: str) -> int:
    numbers = [int(path.stem.split("-")[-1]) for path in matching(folder, f"{kind}-*.parquet")]
    return max(numbers, default=-1) + 1
