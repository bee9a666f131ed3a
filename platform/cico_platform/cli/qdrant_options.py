"""`--qdrant NAME=VALUE`: settings of a Qdrant server, for every verb that takes its URL as `--index`."""

from typing import Annotated

import typer

# A test compares it with the fields of `ServerSettings`, which help does not import.
NAMES = (
    "api_key, ca, grpc_port, tokens, token_cache, token_cache_bytes, connect_s, timeout_s, write_timeout_s, "
    "patience_s, batch_bytes, shard_number, replication_factor, write_consistency_factor, on_disk_payload, "
    "vector_quantization, rescore, oversampling, hnsw_m, hnsw_ef_construct"
)


def _set(pairs: list[str] | None) -> list[str] | None:
    if pairs:
        from cico_platform.index.server_settings import set_server_options

        set_server_options(pairs)
    return pairs


Qdrant = Annotated[
    list[str] | None,
    typer.Option(
        "--qdrant",
        metavar="NAME=VALUE",
        callback=_set,
        help="A setting of a Qdrant server (docs/server_index.md); may be given again. In the environment it "
        f"is CICO_QDRANT_NAME, as CICO_QDRANT_API_KEY. Names: {NAMES}.",
    ),
]
