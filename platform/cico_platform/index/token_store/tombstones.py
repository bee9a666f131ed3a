"""Rows of forgotten and replaced clips: one small file of their numbers, replaced with the manifest."""

import hashlib
import uuid

import numpy as np

from cico_platform.errors import InputError
from cico_platform.index.token_store.errors import DamagedFileError
from cico_platform.index.token_store.files import SHOWN, put, read_bytes, said_plainly
from cico_platform.index.token_store.records import DeadRows, Manifest, StoredFile
from cico_platform.index.token_store.row_numbers import Rows, as_rows
from cico_platform.index.token_store.snapshots import Snapshot
from cico_platform.storage import Place

NO_ROWS: Rows = as_rows([])


def read_dead(folder: Place, manifest: Manifest) -> Rows:
    """Read the dead rows of a generation, uint64, ascending.

    Raises
    ------
    FileNotFoundError
        If their file was replaced meanwhile.
    DamagedFileError
        If it is not what was written.
    """
    if manifest.dead is None:
        return NO_ROWS
    path = folder / manifest.dead.file.name
    with said_plainly(folder, "a token store cannot be read from"):
        content = read_bytes(path)
    if hashlib.sha256(content).hexdigest() != manifest.dead.file.sha256:
        raise DamagedFileError(f"'{path}' is damaged: its checksum is not that of what was written")
    return np.frombuffer(content, dtype="<u8")


def with_dead(folder: Place, manifest: Manifest, rows: Rows) -> Manifest:
    """Return a manifest in which these rows are dead too; the file that it names is written.

    Raises
    ------
    InputError
        If no segment holds one of them.
    """
    if not len(rows):
        return manifest
    before = read_dead(folder, manifest)
    unknown = rows[Snapshot(manifest, before).locate(rows).segments < 0]
    if len(unknown):
        raise InputError(
            f"the token store '{folder}' has no row {int(unknown[0])}, so it cannot be marked dead"
        )
    return replace_dead(folder, manifest, before, np.union1d(before, rows))


def without_unknown(folder: Place, manifest: Manifest, before: Rows) -> Manifest:
    """Return a manifest whose dead rows are those that its segments still hold."""
    known = before[Snapshot(manifest, NO_ROWS).locate(before).segments >= 0]
    return replace_dead(folder, manifest, before, known)


def replace_dead(folder: Place, manifest: Manifest, before: Rows, after: Rows) -> Manifest:
    """Return a manifest with the dead rows `after`, once their file is written; `before` are those it has."""
    if len(before) == len(after):
        return manifest
    if not len(after):
        return manifest.model_copy(update={"dead": None})
    content = after.astype("<u8").tobytes()
    digest = hashlib.sha256(content).hexdigest()
    # A name of its own: a slow process that removes the file of an earlier generation cannot mean this one.
    name = f"dead-{uuid.uuid4().hex[:12]}-{digest[:SHOWN]}.u64"
    with said_plainly(folder, "a token store cannot be written to"):
        put(folder / name, content)
    file = StoredFile(name=name, bytes=len(content), sha256=digest)
    return manifest.model_copy(update={"dead": DeadRows(file=file, rows=len(after))})
