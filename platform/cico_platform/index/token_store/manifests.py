"""The manifest of a store: read, and replaced in one step by whoever was first."""

import random
import re
import time
import uuid
from collections.abc import Callable

from cico_platform.errors import InputError
from cico_platform.index.token_store.errors import ConflictError, DamagedFileError
from cico_platform.index.token_store.files import create, listed, read_bytes, remove_file, said_plainly
from cico_platform.index.token_store.records import HISTORY, Layout, Manifest, from_bytes, to_bytes
from cico_platform.storage import Place

PATTERN = re.compile(r"manifest-(\d{8,})\.jsonl")
ATTEMPTS = 30
SECONDS_BETWEEN_ATTEMPTS = 0.05


def manifest_path(place: Place, generation: int) -> Place:
    """Where the manifest of a generation lies."""
    return place / f"manifest-{generation:08d}.jsonl"


def read_manifest(place: Place) -> Manifest:
    """Read the newest manifest.

    Raises
    ------
    InputError
        If there is no store.
    DamagedFileError
        If it cannot be used. An older one is never taken instead: it would bring forgotten clips back.
    """
    for attempt in range(ATTEMPTS):
        with said_plainly(place, "a token store cannot be read from"):
            generations = _generations(place)
            if not generations:
                raise InputError(f"'{place}' holds no token store")
            path = manifest_path(place, generations[-1])
            try:
                manifest = from_bytes(read_bytes(path), str(path))
            except FileNotFoundError:  # replaced since it was listed
                _wait(attempt)
                continue
        if manifest.generation != generations[-1]:
            raise DamagedFileError(f"'{path}' is damaged: it holds generation {manifest.generation}")
        return manifest
    raise ConflictError(f"the token store '{place}' changes faster than it can be read")


def create_manifest(place: Place, layout: Layout) -> Manifest:
    """Make an empty store; one with the same layout stays as it is.

    Raises
    ------
    InputError
        If there is a store with another layout.
    """
    with said_plainly(place, "a token store cannot be written to"):
        place.mkdir(parents=True, exist_ok=True)
        if not _generations(place):
            empty = Manifest(generation=1, layout=layout, commit=uuid.uuid4().hex)
            create(manifest_path(place, 1), to_bytes(empty))
    found = read_manifest(place)
    if found.layout != layout:
        raise InputError(
            f"'{place}' holds a token store of width {found.layout.dim} and storage '{found.layout.storage}' "
            f"already, not {layout.dim} and '{layout.storage}', or one with another codebook"
        )
    return found


def commit(place: Place, change: Callable[[Manifest], Manifest]) -> Manifest:
    """Replace the manifest by what a change makes of it; returns the new one.

    Where another process was faster, the change is applied anew to what that one has written. The file of a
    generation is created by one process only. Whoever created it looks whether the newest manifest descends
    from it: a slow process may have created a generation that others have long since passed and removed. What
    it created then is of no effect, and the next commit removes it.

    Raises
    ------
    ConflictError
        If the change refuses, or others are always faster.
    """
    failed = ""
    for attempt in range(ATTEMPTS):
        before = read_manifest(place)
        try:
            wanted = change(before)
        except FileNotFoundError as error:  # of an earlier generation, unless it is still the newest
            if failed == before.commit:
                raise DamagedFileError(f"a file of the token store is missing: {error}") from error
            failed = before.commit
            continue
        if wanted == before:
            return before
        known = (before.commit, *before.history)[:HISTORY]
        mine = {"generation": before.generation + 1, "commit": uuid.uuid4().hex, "history": known}
        after = wanted.model_copy(update=mine)
        path = manifest_path(place, after.generation)
        with said_plainly(place, "a token store cannot be written to"):
            create(path, to_bytes(after))
            newest = read_manifest(place)
            if after.commit in (newest.commit, *newest.history):
                _remove_older(place, after)
                return after
        _wait(attempt)
    raise ConflictError(f"others change the token store '{place}' all the time; try again")


def _generations(place: Place) -> list[int]:
    found = (PATTERN.fullmatch(name) for name in listed(place))
    return sorted(int(match[1]) for match in found if match)


def _remove_older(place: Place, after: Manifest) -> None:
    for generation in _generations(place):
        if generation < after.generation:
            remove_file(manifest_path(place, generation))


def _wait(attempt: int) -> None:
    time.sleep(SECONDS_BETWEEN_ATTEMPTS * random.uniform(0, 1 + attempt))
