"""API keys: a file of salted hashes, one row a key; a key itself is shown once, when it is made."""

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field, TypeAdapter, ValidationError

from cico_platform.errors import InputError
from cico_platform.settings import Settings

PREFIX = "cico"
# A key is 256 random bits: nobody guesses it, so one round of a fast hash is enough.
SECRET_BYTES, SALT_BYTES, ID_BYTES = 32, 16, 6


class Key(Settings):
    """What is kept of a key.

    Attributes
    ----------
    name
        Whose it is.
    per_minute
        Its own rate; None takes the service's.
    """

    id: str
    name: str = Field(min_length=1, max_length=100)
    salt: str
    hash: str
    created: float
    per_minute: float | None = Field(default=None, gt=0)


ROWS = TypeAdapter(list[Key])


def read_keys(path: str | Path) -> list[Key]:
    """The keys of a file.

    Raises
    ------
    InputError
        If it is no file of keys.
    """
    try:
        return ROWS.validate_python(json.loads(Path(path).read_text(encoding="utf-8"))["keys"])
    except FileNotFoundError:
        raise InputError(f"there is no file of keys '{path}'; make one with 'cico keys add'") from None
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise InputError(f"'{path}' is no file of keys; make one with 'cico keys add'") from error


def add_key(path: str | Path, name: str, per_minute: float | None = None) -> tuple[Key, str]:
    """Make a key and put its hash into a file; returns its row and the key, which nothing else ever shows.

    Raises
    ------
    InputError
        If the file is no file of keys, or the name is none.
    """
    secret, salt = secrets.token_urlsafe(SECRET_BYTES), secrets.token_hex(SALT_BYTES)
    values = {
        "id": secrets.token_hex(ID_BYTES),
        "name": name.strip(),
        "salt": salt,
        "hash": _hash(secret, salt),
        "created": round(time.time(), 3),
        "per_minute": per_minute,
    }
    try:
        key = Key.model_validate(values)
    except ValidationError as error:
        raise InputError(f"no key can be made: {error.errors()[0]['msg']}") from error
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with _writing(file):
        _write(file, [*(read_keys(file) if file.exists() else []), key])
    return key, f"{PREFIX}_{key.id}_{secret}"


def remove_key(path: str | Path, key_id: str) -> Key:
    """Take a key out of a file; a service that runs refuses it from then on.

    Raises
    ------
    InputError
        If the file has no such key.
    """
    file = Path(path)
    read_keys(file)
    with _writing(file):
        keys = read_keys(file)
        found = [key for key in keys if key.id == key_id]
        if not found:
            raise InputError(f"'{path}' has no key with the id '{key_id}'; 'cico keys list' shows them")
        _write(file, [key for key in keys if key.id != key_id])
    return found[0]


class KeyRing:
    """The keys of a file that changes: read again whenever it was written."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._keys: dict[str, Key] = {}
        self._seen: tuple[int, int] | None = None
        self._refresh()

    def find(self, sent: str) -> Key | None:
        """The row of a key that somebody sent; None if it is none of these."""
        self._refresh()
        prefix, _, rest = sent.partition("_")
        key_id, _, secret = rest.partition("_")
        key = self._keys.get(key_id)
        if prefix != PREFIX or key is None:
            return None
        return key if hmac.compare_digest(_hash(secret, key.salt), key.hash) else None

    def _refresh(self) -> None:
        try:
            status = self.path.stat()
            seen = status.st_mtime_ns, status.st_ino
        except OSError:
            seen = None
        if seen is None or seen != self._seen:
            self._keys = _by_id(read_keys(self.path))
            self._seen = seen


def _by_id(keys: Sequence[Key]) -> dict[str, Key]:
    return {key.id: key for key in keys}


def _hash(secret: str, salt: str) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + secret.encode()).hexdigest()


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    """One who changes the file at a time."""
    with file.with_name(f".{file.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(file: Path, keys: Sequence[Key]) -> None:
    """Replace the file as a whole; only its owner may read it."""
    partial = file.with_name(f".{file.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        json.dump({"keys": [key.model_dump() for key in keys]}, opened, indent=1)
        opened.flush()
        os.fsync(opened.fileno())
    partial.replace(file)
