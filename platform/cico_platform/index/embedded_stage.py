"""Staging for an embedded index: any process writes tokens and encodings, its owner upserts the points."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cico_platform.index.clips import IndexedClip, Payload
from cico_platform.index.collection_tokens import CollectionTokens
from cico_platform.index.disk_space import check_space
from cico_platform.index.embedded_points import EmbeddedPoints, Made
from cico_platform.index.point_changes import commit_clips, rows_of, write_clips
from cico_platform.index.points import VIDEO_ID
from cico_platform.index.set_encoding import point_vectors, set_encoder
from cico_platform.index.staging import Stage, Staged
from cico_platform.index.token_store.records import Storage, info_from_bytes


@dataclass(frozen=True)
class EmbeddedStage(Stage):
    """Writes segments of a collection's token store, and computes what its engine takes.

    Attributes
    ----------
    folder, dim, storage
        Of the token store, as `CollectionTokens` takes them.
    """

    folder: Path
    dim: int
    storage: Storage

    def write(self, clips: Sequence[IndexedClip]) -> Staged:
        names = tuple(clip.video_id for clip in clips)
        payloads = tuple(json.dumps({**clip.payload, VIDEO_ID: clip.video_id}) for clip in clips)
        if not self.folder.is_dir():  # on another machine: the owner writes the tokens
            tokens = tuple(np.asarray(clip.tokens, np.float16).tobytes() for clip in clips)
            return Staged(names=names, payloads=payloads, tokens=tokens)
        check_space(self.folder)
        table = CollectionTokens(self.folder, self.dim, self.storage)
        try:
            segment = table.write(clips)
        finally:
            table.close()
        encodings = point_vectors([clip.tokens for clip in clips]).astype(np.float16)
        return Staged(segment.model_dump_json(), names, encodings.tobytes(), payloads)

    def close(self) -> None:
        """Do nothing: nothing stays open."""


def complete(points: EmbeddedPoints, staged: Staged) -> None:
    """Make staged clips points, in the process that owns the engine; they replace those of the same names."""
    payloads: list[Payload] = [json.loads(payload) for payload in staged.payloads]
    if not staged.segment:
        write_clips(
            points, [_clip(points, *one) for one in zip(staged.names, staged.tokens, payloads, strict=True)]
        )
        return
    segment = info_from_bytes(staged.segment.encode(), points.name)
    before = rows_of(points, staged.names)
    commit_clips(points, segment, Made(_vectors(points, staged), payloads), before)


def _vectors(points: EmbeddedPoints, staged: Staged) -> list[dict[str, Any]]:
    size = set_encoder(points.table.dim).size
    encodings = np.frombuffer(staged.encodings, np.float16).reshape(-1, size)
    return [{"pooled": one} for one in encodings.astype(np.float32)]


def _clip(points: EmbeddedPoints, name: str, tokens: bytes, payload: Payload) -> IndexedClip:
    return IndexedClip(name, np.frombuffer(tokens, np.float16).reshape(-1, points.table.dim), payload)
