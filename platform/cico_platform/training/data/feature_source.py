"""The feature store of this node: found, or made once by whichever process needs it first."""

import fcntl
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

import numpy as np
import pyarrow as pa

from cico_platform.errors import InputError
from cico_platform.pipelines.stored_features import INFO_FILE, feature_shards, read_info, read_mix
from cico_platform.steps import content_key, fingerprint
from cico_platform.storage import Place, absolute, cache_folder, file_sizes, is_remote, place
from cico_platform.training.data.feature_rows import FeatureRows
from cico_platform.training.data.feature_store import FeatureStore, StoredRows
from cico_platform.training.data.feature_store_files import VERSION, DamagedStoreError, LeftOut
from cico_platform.training.data.feature_store_writer import COMMIT_BYTES, remove_store, write_store

LOCK_FILE = "lock"
KEY_DIGITS = 16
SECONDS_BETWEEN_NOTES = 5.0
OnNote = Callable[[str], None]


@dataclass(frozen=True)
class FeatureSource:
    """Features as a model reads them, by name: what a process needs to open them on its own node.

    Attributes
    ----------
    folder
        That `cico features` wrote: an absolute path that every node sees, or a URL.
    key
        Of what the folder held when the source was described (`describe_source`).
    alpha
        The first encoder's share; None takes that of the extraction.
    stride
        Frames from one window to the next.
    store
        Folder of each node in which stores are made; "" for `store_folder`'s choice.
    """

    folder: str
    key: str
    alpha: float | None = None
    stride: int = 1
    store: str = ""

    def open(self, on_note: OnNote | None = None) -> "OpenFeatures":
        """Open the features on this node; the store is made if it is not there.

        Raises
        ------
        InputError
            If the folder holds no features here, or others than when the source was described.
        CicoError
            If this node's disk is full.
        """
        if not (place(self.folder) / INFO_FILE).is_file():
            raise InputError(
                f"'{self.folder}' holds no features on this node; for a training on several nodes "
                "they must be on a disk that all nodes see, or behind a URL"
            )
        if _store_key(self.folder) != self.key:
            raise InputError(f"'{self.folder}' has changed since this run began; run the same command again")
        return _open(self, open_store(self.folder, self.store, on_note))


@dataclass(frozen=True)
class OpenFeatures:
    """Features that are open: the clips' names, by row, and their features.

    Attributes
    ----------
    video_ids
        Large strings [N].
    rows
        [N].
    dim
        Width of the features.
    alpha
        The first encoder's share; 1 where there is but one.
    left_out
        Clips of the shards that could not be used.
    """

    video_ids: pa.LargeStringArray
    rows: FeatureRows
    dim: int
    alpha: float
    left_out: LeftOut


def describe_source(
    folder: str | Place, alpha: float | None = None, stride: int = 1, store: str = ""
) -> FeatureSource:
    """Name the features of a folder as they are now.

    Raises
    ------
    InputError
        If it holds none.
    """
    return FeatureSource(absolute(place(folder)), _store_key(folder), alpha, stride, store)


def open_features(
    folder: str | Place, alpha: float | None = None, stride: int = 1, store: str = ""
) -> OpenFeatures:
    """Open a folder's features on this node (`FeatureSource.open`)."""
    return describe_source(folder, alpha, stride, store).open()


def open_store(
    features: str | Place,
    root: str = "",
    on_note: OnNote | None = None,
    commit_bytes: int = COMMIT_BYTES,
) -> FeatureStore:
    """Open the store of a feature folder on this node.

    One that is missing, damaged or of other features is made by the first process that asks; others wait for
    it. After a kill, making it goes on from the last commit. Stores of what the folder held before are
    removed then: whoever maps one keeps it.

    Parameters
    ----------
    root
        See `store_folder`.
    on_note
        Told in words how far making the store is.

    Raises
    ------
    InputError
        If the folder holds no features.
    CicoError
        If the disk is full.
    """
    key = _store_key(features)
    folder = store_folder(features, key, root)
    if (found := _whole(folder, key)) is not None:
        return found
    building = folder.with_name(f"{folder.name}.building")
    with _locked(building):
        if (found := _whole(folder, key)) is not None:  # another process was faster
            remove_store(building)
            return found
        remove_store(folder)
        mix, shards = read_mix(features), feature_shards(features)

        told = time.monotonic()

        def tell(done: int, total: int) -> None:
            nonlocal told
            if on_note and time.monotonic() - told >= SECONDS_BETWEEN_NOTES:
                told = time.monotonic()
                on_note(f"features copied to '{folder.parent}': {done} of {total} shards")

        write_store(building, shards, list(mix.shares), mix.dim, key, tell, commit_bytes)
        building.replace(folder)
        _remove_old(folder)
    return FeatureStore(folder)


def store_folder(features: str | Place, key: str, root: str = "") -> Path:
    """Return where the store of a feature folder is on this node.

    In `root`, if one is named; else beside a local folder, hidden; else, for features behind a URL or in a
    folder that can't be written, in this user's cache (`cico_platform.storage.cache_folder`).
    """
    folder = place(absolute(place(features)))
    if not root and not is_remote(folder) and os.access(str(folder.parent), os.W_OK):
        return Path(str(folder.parent)) / f".{folder.name}.store-{key}"
    parent = Path(root).absolute() if root else cache_folder() / "feature-stores"
    parent.mkdir(parents=True, exist_ok=True)
    return parent / f"{folder.name}-{content_key(folder=str(folder))[:8]}.store-{key}"


def _store_key(features: str | Place) -> str:
    """Name of what a store is made from.

    The step's name leaves out which clips went into quarantine: a folder that was removed and made again may
    hold others.
    """
    info = read_info(features)
    names = {shard.name for shard in feature_shards(features)}
    sizes = file_sizes(place(features))
    return content_key(
        version=VERSION,
        features=fingerprint(features),
        shards={name: size for name, size in sizes.items() if name in names},
        encoders=[encoder.id for encoder in info.encoders],
        dim=info.dim,
    )[:KEY_DIGITS]


def _whole(folder: Path, key: str) -> FeatureStore | None:
    try:
        store = FeatureStore(folder)
    except DamagedStoreError:
        return None
    return store if store.header.key == key else None


def _open(source: FeatureSource, store: FeatureStore) -> OpenFeatures:
    mix = read_mix(source.folder, source.alpha)
    shares = [mix.shares[encoder] for encoder in store.header.encoders]
    rows = StoredRows(store, np.arange(len(store)), shares, source.stride)
    return OpenFeatures(store.video_ids(), rows, mix.dim, mix.alpha, store.header.left_out)


def _remove_old(folder: Path) -> None:
    """Remove the stores of what a feature folder held before, but not one that is being made."""
    stores = re.compile(re.escape(folder.name[:-KEY_DIGITS]) + rf"[0-9a-f]{{{KEY_DIGITS}}}(\.building)?")
    for old in list(folder.parent.iterdir()):
        if old.name.startswith(folder.name) or not stores.fullmatch(old.name):
            continue
        with suppress(OSError):  # a finished store has no lock any more, or one that nobody holds
            with (old / LOCK_FILE).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_store(old)


def _locked(folder: Path) -> TextIOWrapper:
    """Become the only process that writes into a folder, which is made; waits for another one.

    Closing the file that is returned, or dying, gives it up.
    """
    while True:
        # Whoever holds the lock moves or removes the folder, and the lock with it: then it is made anew.
        with suppress(FileNotFoundError):
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / LOCK_FILE).open("a")
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (folder / LOCK_FILE).stat().st_ino == os.fstat(lock.fileno()).st_ino:
                return lock
            lock.close()
