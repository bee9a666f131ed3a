"""Clips of a collection that the version before wrote to a Qdrant server, with their tokens (layout 4)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import GrpcToRest

from cico_platform.index.clips import IndexedClip
from cico_platform.index.points import VIDEO_ID
from cico_platform.index.server_client import ServerClient
from cico_platform.index.server_messages import WHOLE_PAYLOAD, payload_of

TOKENS = "tokens"
# Their tokens come with them: 150 KB a clip at the paper's size.
PAGE = 64


def earlier_clips(client: ServerClient, collection: str) -> Iterator[list[IndexedClip]]:
    """Read all clips, page by page; tokens float16 [T, D]."""
    offset = None
    while True:
        request = messages.ScrollPoints(
            collection_name=collection,
            limit=PAGE,
            offset=offset,
            with_payload=WHOLE_PAYLOAD,
            with_vectors=messages.WithVectorsSelector(include=messages.VectorsSelector(names=[TOKENS])),
        )
        answer = client.read(client.points.Scroll, request)
        yield [_clip(point) for point in answer.result]
        if not answer.HasField("next_page_offset"):
            return
        offset = answer.next_page_offset


def _clip(point: Any) -> IndexedClip:
    payload = payload_of(point)
    vectors: Any = GrpcToRest.convert_vectors_output(point.vectors)
    return IndexedClip(payload.pop(VIDEO_ID), np.array(vectors[TOKENS], np.float16), payload)
