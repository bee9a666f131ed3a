"""What a Qdrant server holds, and how tests clear it: by Qdrant's own client, not by the project's."""

import os

from qdrant_client import QdrantClient

from cico_platform.index.server_settings import server_address


def client_of(url: str) -> QdrantClient:
    """Qdrant's client of a server."""
    address = server_address(url)
    return QdrantClient(
        host=address.host,
        grpc_port=address.port,
        https=address.tls,
        prefer_grpc=True,
        api_key=os.environ.get("CICO_QDRANT_API_KEY"),
        check_compatibility=False,
        timeout=60,
    )


def collections_of(url: str) -> list[str]:
    """Names of a server's collections."""
    client = client_of(url)
    try:
        return [one.name for one in client.get_collections().collections]
    finally:
        client.close()


def clear(url: str) -> None:
    """Remove all that a server holds."""
    client = client_of(url)
    try:
        for one in client.get_collections().collections:
            client.delete_collection(one.name)
    finally:
        client.close()
