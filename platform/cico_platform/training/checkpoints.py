"""Checkpoints of a training that is under way: whole or not at all, on any storage, the last few kept."""

import hashlib
import io
import json
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import torch

from cico_platform.errors import InputError
from cico_platform.shard_output import attempt, is_there
from cico_platform.storage import Place, fresh, is_remote, matching, whole_file, write_whole

State = dict[str, Any]
DIGITS = 10
# Of what a state holds; a run does not go on with another one.
FORMAT = 2


class DamagedCheckpointError(Exception):
    """A checkpoint whose bytes are not those that were written."""


class _HashingFile:
    """A file that is written, its SHA-256, and its error, which PyTorch hides behind one of its own."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest = file, hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, content: bytes) -> int:
        """Write and hash."""
        self.digest.update(content)
        try:
            return self.file.write(content)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        """Hand everything on to the file."""
        self.file.flush()


@dataclass(frozen=True)
class CheckpointStore:
    """A folder of checkpoints: `step-N.pt` and `step-N.json`; the latter comes last: the checkpoint is whole.

    Attributes
    ----------
    folder
        On this machine or behind a URL; of several machines, where all of them can read.
    key
        What the training is (its step's key); checkpoints of another are refused.
    keep
        How many stay.
    """

    folder: Place
    key: str
    keep: int = 2

    def save(self, step: int, state: State) -> None:
        """Write the state after `step` optimiser steps, then remove those that are too many.

        Raises
        ------
        OSError
            If the storage is full or can't be written; the earlier checkpoints stay.
        OutputError
            If a store refuses, again and again.
        """
        for action in (partial(self._write, step, state), self._prune):
            if is_remote(self.folder):
                attempt(self.folder, action)
            else:
                action()

    def _write(self, step: int, state: State) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self._weights(step)) as file:
            hashing = _HashingFile(file)
            try:
                torch.save(state, hashing)  # type: ignore[arg-type]  # write() and flush() are all it calls
            except RuntimeError as error:
                if hashing.failure is None:
                    raise
                raise hashing.failure from error
        about = {"format": FORMAT, "key": self.key, "step": step, "sha256": hashing.digest.hexdigest()}
        write_whole(self._note(step), json.dumps(about).encode())

    def _prune(self) -> None:
        for old in self.steps()[: -self.keep]:
            self._note(old).unlink(missing_ok=True)
            self._weights(old).unlink(missing_ok=True)

    def steps(self) -> list[int]:
        """Steps of the whole checkpoints, in order."""
        notes = attempt(self.folder, lambda: matching(fresh(self.folder), "step-*.json"))
        return sorted(int(path.stem.partition("-")[2]) for path in notes)

    def load(self, step: int, device: torch.device | None = None) -> State:
        """The state after a step; nothing but tensors and plain values is unpickled.

        Raises
        ------
        DamagedCheckpointError
            If the file is missing, cut or changed.
        InputError
            If it is another training's, or of another version.
        OutputError
            If a store refuses, again and again.
        """
        try:
            about = json.loads(self._read(self._note(step)))
            content = self._read(self._weights(step))
            whole = about["sha256"] == hashlib.sha256(content).hexdigest()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedCheckpointError(f"'{self._note(step)}': {error}") from error
        if not whole:
            raise DamagedCheckpointError(f"'{self._weights(step)}' is not what was written")
        if about.get("key") != self.key:
            raise InputError(
                f"'{self._weights(step)}' is a checkpoint of other settings or inputs; remove '{self.folder}'"
            )
        if about.get("format") != FORMAT:
            raise InputError(
                f"'{self._weights(step)}' is a checkpoint of another version of this program; "
                f"remove '{self.folder}' to start anew, or go on with that version"
            )
        state: State = torch.load(io.BytesIO(content), map_location=device or "cpu", weights_only=True)
        return state

    def last(self, device: torch.device | None = None) -> tuple[int, State | None, list[str]]:
        """The newest sound checkpoint: step (0: there is none), state, and what was wrong with newer ones."""
        complaints: list[str] = []
        for step in reversed(self.steps()):
            try:
                return step, self.load(step, device), complaints
            except DamagedCheckpointError as error:
                complaints.append(str(error))
        return 0, None, complaints

    def _read(self, path: Place) -> bytes:
        """A file's content; a store that refuses is asked again, and is no damage."""
        if not attempt(self.folder, partial(is_there, path)):
            raise FileNotFoundError(path.name)
        return attempt(self.folder, path.read_bytes)

    def _weights(self, step: int) -> Place:
        return self.folder / f"step-{step:0{DIGITS}d}.pt"

    def _note(self, step: int) -> Place:
        return self.folder / f"step-{step:0{DIGITS}d}.json"
