"""Steps: named by a hash of what they read, moved into place whole, skipped when nothing changed."""

import glob
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cico_platform.errors import CicoError, InputError
from cico_platform.shard_output import attempt, is_there
from cico_platform.storage import (
    Place,
    copy_file,
    files_under,
    fresh,
    is_remote,
    matching,
    place,
    relative,
    remove,
    write_whole,
)

STEP_FILE = "step.json"


@dataclass(frozen=True)
class Summary:
    """What a step did to its clips; `done + skipped + quarantined` is the number of clips it was given.

    `details` holds figures of the step itself (losses, counts), JSON-serialisable.
    """

    done: int = 0
    skipped: int = 0
    quarantined: int = 0
    seconds: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The summary as the command line's JSON object; details stand beside the four counts."""
        return {**self.details, **{k: v for k, v in asdict(self).items() if k != "details"}}


def content_key(**inputs: object) -> str:
    """A 16-digit hexadecimal name of everything that decides a step's output.

    >>> content_key(seed=1, size="tiny") == content_key(size="tiny", seed=1)
    True
    """
    canonical = json.dumps(inputs, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def fingerprint(path: str | Place) -> str:
    """A hash that changes when the content of a file, or of any file under a folder, changes.

    A folder made by `run_step` is named by its key, which already covers its inputs.

    Raises
    ------
    CicoError
        If the folder is being replaced at this moment.
    """
    path = place(path)
    if attempt(path, path.is_dir):
        record = _record(path)
        if record is not None:
            if not record["key"]:
                raise CicoError(f"'{path}' was being replaced when its step was cut; run that step again")
            return str(record["key"])
        files = attempt(path, lambda: files_under(path))
        return content_key(files=[(relative(p, path), fingerprint(p)) for p in files])
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def write_json(path: Place, value: object) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of it."""
    write_whole(path, (json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n").encode())


def finished(out: Place, key: str) -> Summary | None:
    """The summary of the step that made `out`, if it was made from exactly these inputs.

    Raises
    ------
    InputError
        If it holds a `step.json` that is damaged, or that another program wrote.
    """
    record = _record(out)
    return Summary(**record["summary"]) if record is not None and record["key"] == key else None


def _record(folder: Place) -> dict[str, Any] | None:
    """What a folder's `step.json` says; None where there is none."""
    step = folder / STEP_FILE
    if not attempt(folder, partial(is_there, step)):
        return None
    try:
        record = json.loads(attempt(folder, partial(step.read_text, encoding="utf-8")))
        return {"key": record["key"], "summary": record["summary"]}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{step}' is damaged, or not written by cico; remove '{folder}', or name another folder"
        ) from error


def run_step(out: str | Place, name: str, key: str, body: Callable[[Place], Summary]) -> Summary:
    """Run `body` on a folder beside `out` and move the folder into place when it is whole.

    Parameters
    ----------
    out
        The step's output folder. It holds the output of one key at a time; another key replaces it whole.
    name
        The step's name, recorded beside the key.
    key
        From `content_key`. If `out` already holds this key, nothing runs and every clip counts as skipped.
    body
        Gets the folder to write into. After a kill it finds there what its last try left.

    Raises
    ------
    InputError
        If `out` is a file, or holds files that no step wrote.
    """
    out = fresh(_own_place(out))
    if not is_remote(out) and out.exists() and not out.is_dir():
        raise InputError(f"'{out}' is a file; name a folder")
    before = finished(out, key)
    if before is not None:
        return Summary(0, before.done + before.skipped, before.quarantined, 0.0, before.details)
    if attempt(out, lambda: out.is_dir() and any(out.iterdir())) and _record(out) is None:
        raise InputError(f"'{out}' is not empty and was not written by cico; name another folder")
    building = out.with_name(f".{out.name}.building-{key}")
    whole = None
    with suppress(InputError):  # damaged: it is written again at the end
        whole = finished(building, key)  # a remote folder's move was cut
    if whole is not None:
        _swap(building, out)
        return whole
    attempt(building, partial(building.mkdir, parents=True, exist_ok=True))
    began = time.monotonic()
    summary = body(building)
    summary = Summary(
        summary.done,
        summary.skipped,
        summary.quarantined,
        round(time.monotonic() - began, 3),
        summary.details,
    )
    record = {"name": name, "key": key, "summary": asdict(summary)}
    attempt(building, partial(write_json, building / STEP_FILE, record))
    _swap(building, out)
    return summary


def earlier_outputs(out: str | Place, building: Place) -> list[Place]:
    """Where rows may be that need not be computed again: the finished output, then what cut tries left."""
    out = _own_place(out)
    tries = attempt(out, lambda: matching(fresh(out.parent), _tries(out)))
    return [folder for folder in (out, *tries) if folder.name != building.name]


def _own_place(out: str | Place) -> Place:
    """The folder that a symbolic link or `..` stands for: what is moved into place is built beside it."""
    folder = place(out)
    if is_remote(folder):
        return folder
    local = Path(str(folder))
    return local.resolve() if local.is_symlink() or local.name in ("", "..") else local


def _tries(out: Place) -> str:
    """Pattern of the folders beside `out` in which it is built."""
    return f".{glob.escape(out.name)}.building-*"


def replace_folder(source: Path, out: Path) -> None:
    """Make `out` a copy of the folder of a finished step; does nothing where it is one already."""
    if (out / STEP_FILE).is_file() and fingerprint(out) == fingerprint(source):
        return
    building = out.with_name(f".{out.name}.building-copy")
    shutil.rmtree(building, ignore_errors=True)
    shutil.copytree(source, building)
    _swap(building, out)


def _swap(building: Place, out: Place) -> None:
    if is_remote(out):
        _move_remote(building, out)
    else:
        _swap_local(Path(str(building)), Path(str(out)))


def _move_remote(building: Place, out: Place) -> None:
    """Objects have no folders that could be renamed: the old ones go, the new ones come, `step.json` last."""
    none = {"name": "", "key": "", "summary": {}}
    attempt(out, partial(write_json, out / STEP_FILE, none))
    for path in attempt(out, lambda: files_under(fresh(out))):
        if path.name != STEP_FILE:
            attempt(out, partial(path.unlink, missing_ok=True))
    for path in sorted(attempt(out, lambda: files_under(fresh(building))), key=lambda p: p.name == STEP_FILE):
        attempt(out, partial(copy_file, path, out / relative(path, building)))
    for stale in attempt(out, lambda: matching(fresh(out.parent), _tries(out))):
        attempt(out, partial(remove, stale))


def _swap_local(building: Path, out: Path) -> None:
    old = out.with_name(f".{out.name}.old")
    if old.is_symlink():  # an earlier version moved links
        old.unlink()
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.replace(old)
    try:
        building.replace(out)
    except OSError as error:
        if old.exists():
            old.replace(out)
        raise CicoError(f"'{out}' could not be replaced, maybe by two runs at once: {error}") from error
    shutil.rmtree(old, ignore_errors=True)
    for stale in out.parent.glob(_tries(out)):
        shutil.rmtree(stale, ignore_errors=True)
