"""Settings of a Qdrant server's client, from `CICO_QDRANT_*`; and where a URL says that the server is."""

import os
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from cico_platform.errors import InputError
from cico_platform.settings import Settings, validated

PREFIX = "CICO_QDRANT_"
# Names a server for the tests; no setting.
NO_SETTINGS = ("CICO_QDRANT_URL",)
HTTP_PORT, GRPC_PORT = 6333, 6334
TLS = {"http": False, "grpc": False, "https": True, "grpcs": True}
SCHEMES = tuple(f"{scheme}://" for scheme in TLS)


class ServerSettings(Settings):
    """How a Qdrant server is asked, and how its collections are made.

    Every process that opens the index reads them from its environment: `shard_number` is
    `CICO_QDRANT_SHARD_NUMBER`.

    Attributes
    ----------
    api_key
        Key of the server.
    ca
        PEM file of the certificates that a server's is checked with; the usual ones by default.
    grpc_port
        Port of gRPC where the URL is `http://` or `https://`; 6334 for those without a port or with 6333.
    tokens
        Folder of the clips' tokens, which every process that searches must see, or its URL (`s3://…`); by
        default a folder of this user on this machine.
    token_cache, token_cache_bytes
        Where a URL's tokens are copied to on each machine that searches, and the most bytes that they may
        take there; by default in this user's temporary folder, 80% of the free disk.
    connect_s
        Seconds to wait for a server that does not answer at all, when the index is opened.
    timeout_s, write_timeout_s
        Seconds that one call may take: of those that read, and of those that write.
    patience_s
        Seconds for which a write that fails for a passing reason is tried again: a server may restart.
    batch_bytes
        Largest request of a write, in bytes.
    shard_number, replication_factor, write_consistency_factor
        Of collections that are made; the server's defaults where not given.
    on_disk_payload
        Whether their payloads stay on the server's disk.
    vector_quantization
        How the vectors that HNSW searches are kept in memory: `scalar` a byte a number, which loses nothing
        that could be measured, `none` in half precision, `binary` a bit a number; where it is not `none`,
        those in half precision are on disk.
    rescore, oversampling
        Whether candidates that were found by quantised vectors are scored by those in half precision (by
        default where they are binary), and how many times as many are.
    hnsw_m, hnsw_ef_construct
        Of the graph.
    """

    api_key: SecretStr | None = None
    ca: str | None = None
    grpc_port: int | None = Field(default=None, ge=1, le=65535)
    tokens: str | None = None
    token_cache: str | None = None
    token_cache_bytes: int | None = Field(default=None, ge=1 << 20)
    connect_s: float = Field(default=5.0, ge=0)
    timeout_s: float = Field(default=10.0, gt=0)
    write_timeout_s: float = Field(default=60.0, gt=0)
    patience_s: float = Field(default=120.0, ge=0)
    batch_bytes: int = Field(default=16 << 20, ge=1 << 10, le=1 << 30)
    shard_number: int | None = Field(default=None, ge=1)
    replication_factor: int | None = Field(default=None, ge=1)
    write_consistency_factor: int | None = Field(default=None, ge=1)
    on_disk_payload: bool = True
    vector_quantization: Literal["none", "scalar", "binary"] = "scalar"
    rescore: bool | None = None
    oversampling: float = Field(default=2.0, ge=1)
    hnsw_m: int = Field(default=16, ge=4)
    hnsw_ef_construct: int = Field(default=200, ge=4)


class ServerAddress(NamedTuple):
    """Where a server's gRPC port is, and whether it speaks TLS."""

    host: str
    port: int
    tls: bool

    @property
    def target(self) -> str:
        """As gRPC takes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def server_settings(environment: Mapping[str, str] | None = None) -> ServerSettings:
    """Settings of an environment, this process' by default.

    Raises
    ------
    InputError
        If a variable's name or value is none that is known.
    """
    known = os.environ if environment is None else environment
    given = {name: value for name, value in known.items() if name.startswith(PREFIX) and value}
    names = {name.removeprefix(PREFIX).lower(): name for name in given if name not in NO_SETTINGS}
    return validated(ServerSettings, {name: given[of] for name, of in names.items()}, names)


def set_server_options(pairs: Sequence[str]) -> None:
    """Put pairs `name=value` into the environment of this process and of those that it starts.

    Raises
    ------
    InputError
        If a pair is none, or names or holds what no setting takes.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f"--qdrant takes NAME=VALUE, not '{pair}'")
        values[name.strip().lower().replace("-", "_")] = value.strip()
    validated(ServerSettings, values, dict.fromkeys(values, "--qdrant"))
    os.environ.update({f"{PREFIX}{name.upper()}": value for name, value in values.items()})


def server_address(url: str, grpc_port: int | None = None) -> ServerAddress:
    """Where a URL says that a server's gRPC port is.

    Parameters
    ----------
    url
        `grpc://host:port` or `grpcs://host:port` (TLS) name it; `http://host:6333` and `https://host:6333`,
        the address of the server's HTTP interface, mean port 6334.
    grpc_port
        Takes the place of the port of `http://` and `https://`.

    Raises
    ------
    InputError
        If it is no such URL.

    Examples
    --------
    >>> server_address("http://localhost:6333").target, server_address("grpcs://qdrant:443").tls
    ('localhost:6334', True)
    """
    advice = (
        "an index on a Qdrant server is http://HOST:6333, https://HOST:6333, grpc://HOST:6334 or grpcs://…"
    )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"'{url}' is no URL: {error}; {advice}") from None
    if parts.scheme not in TLS or not host:
        raise InputError(f"'{url}' names no Qdrant server; {advice}")
    if parts.username is not None or parts.password is not None:
        raise InputError(f"keys don't belong into a URL; set {PREFIX}API_KEY; {advice}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise InputError(f"'{url}': gRPC knows no paths; {advice}")
    if parts.scheme.startswith("http"):
        port = grpc_port or (GRPC_PORT if port in (None, HTTP_PORT) else port)
    return ServerAddress(host, port or GRPC_PORT, TLS[parts.scheme])
