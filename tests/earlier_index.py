"""Collections as the version before wrote them (layout 4), for tests of the migration."""

import json
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
import qdrant_edge
from qdrant_client import QdrantClient, models

from cico_platform.index.clips import IndexedClip, point_id
from cico_platform.index.engine import engine_config
from cico_platform.index.set_encoding import point_vector, set_encoder


def write_embedded(index: Path, name: str, clips: Sequence[IndexedClip]) -> None:
    """A collection of an embedded index: an engine, one file of tokens, one of their places."""
    folder, dim = index / "collections" / name, clips[0].tokens.shape[1]
    (folder / "engine").mkdir(parents=True)
    shard = qdrant_edge.EdgeShard.create(str(folder / "engine"), engine_config(dim))
    points, places, first = [], [], 0
    with (folder / "tokens.f16").open("wb") as tokens:
        for clip in clips:
            tokens.write(clip.tokens.astype(np.float16).tobytes())
            uuid = UUID(point_id(clip.video_id))
            places.append((uuid.bytes, first, len(clip.tokens)))
            first += len(clip.tokens)
            vectors = {"pooled": point_vector(clip.tokens).tolist()}
            points.append(qdrant_edge.Point(uuid, vectors, {**clip.payload, "video_id": clip.video_id}))
    np.array(places, [("point", "V16"), ("first", "<i8"), ("count", "<i4")]).tofile(folder / "tokens.places")
    shard.update(qdrant_edge.UpdateOperation.upsert_points(points))
    shard.flush()
    shard.close()
    (folder / "collection.json").write_text(json.dumps({"dim": dim, "quantization": "none"}))


def write_server(client: QdrantClient, name: str, clips: Sequence[IndexedClip]) -> None:
    """A collection of a server: encodings and tokens of points with UUIDs."""
    dim = clips[0].tokens.shape[1]
    half = models.Datatype.FLOAT16
    vectors = {
        "pooled": models.VectorParams(
            size=set_encoder(dim).size, distance=models.Distance.COSINE, datatype=half
        ),
        "tokens": models.VectorParams(
            size=dim,
            distance=models.Distance.COSINE,
            multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            datatype=half,
            hnsw_config=models.HnswConfigDiff(m=0),
        ),
    }
    client.create_collection(name, vectors_config=vectors)
    client.upsert(
        name,
        [
            models.PointStruct(
                id=point_id(clip.video_id),
                vector={
                    "pooled": point_vector(clip.tokens).tolist(),
                    "tokens": clip.tokens.astype(np.float32).tolist(),
                },
                payload={**clip.payload, "video_id": clip.video_id},
            )
            for clip in clips
        ],
        wait=True,
    )
