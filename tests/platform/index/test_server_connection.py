"""Reaching a Qdrant server: addresses, keys, TLS, and errors that say what is wrong and what to do."""

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cico_command import Cico
from drawn_clips import DIM, drawn_clips
from pydantic import SecretStr
from qdrant_stand_in.process import StandInProcess

from cico_platform.cli.qdrant_options import NAMES
from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import is_url, open_index
from cico_platform.index.server import ServerIndex
from cico_platform.index.server_settings import (
    ServerAddress,
    ServerSettings,
    server_address,
    server_settings,
)

QUICK = ServerSettings(connect_s=0.0)
SERVER_DOCS = Path(__file__).resolve().parents[3] / "docs" / "server_index.md"


@pytest.mark.parametrize(
    ("url", "port", "address"),
    [
        ("http://qdrant", None, ("qdrant", 6334, False)),
        ("http://qdrant:6333", None, ("qdrant", 6334, False)),
        ("http://qdrant:6333/", None, ("qdrant", 6334, False)),
        ("https://qdrant:6333", None, ("qdrant", 6334, True)),
        ("http://qdrant:7000", None, ("qdrant", 7000, False)),
        ("http://qdrant:7000", 7001, ("qdrant", 7001, False)),
        ("https://qdrant", 443, ("qdrant", 443, True)),
        ("grpc://qdrant:6333", None, ("qdrant", 6333, False)),
        ("grpc://qdrant", None, ("qdrant", 6334, False)),
        ("grpcs://qdrant:443", 9, ("qdrant", 443, True)),
        ("http://[::1]:6333", None, ("::1", 6334, False)),
    ],
)
def test_the_grpc_port_is_found_from_a_url(
    url: str, port: int | None, address: tuple[str, int, bool]
) -> None:
    assert server_address(url, port) == ServerAddress(*address)
    assert is_url(url)


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert server_address("grpc://[::1]:7").target == "[::1]:7"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://", "names no Qdrant server"),
        ("grpc://host:99999", "is no URL"),
        ("http://host:port", "is no URL"),
        ("https://cloud/qdrant", "gRPC knows no paths"),
        ("http://user:secret@host:6333", "API_KEY"),
        ("http://host:6333?key=1", "gRPC knows no paths"),
    ],
)
def test_a_url_that_names_no_server_is_refused(url: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        open_index(url)
    assert "secret" not in str(refused.value)


def test_where_nothing_listens_that_is_said(cico: Cico) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(CicoError, match=f"no Qdrant server.*{url}.*nothing answers.*refused"):
        ServerIndex(url, QUICK)
    with pytest.raises(CicoError, match=r"the host 'nowhere\.invalid' is not known"):
        ServerIndex("http://nowhere.invalid:6333", QUICK)
    ended = cico("search", "boy", "--index", url, "--qdrant", "connect_s=0")
    assert ended.returncode == 1
    assert "nothing answers" in ended.stderr
    assert "Traceback" not in ended.stderr


@contextmanager
def http_server(body: bytes) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_http_port_in_place_of_the_grpc_port_is_said_so() -> None:
    with http_server(b'{"title":"qdrant - vector search engine","version":"1.20.0"}') as port:
        says = rf"127\.0\.0\.1:{port} is the HTTP port of a Qdrant server 1\.20\.0; give its gRPC port.*:6334"
        for url in (f"grpc://127.0.0.1:{port}", f"http://127.0.0.1:{port}"):
            with pytest.raises(CicoError, match=says):
                ServerIndex(url, QUICK)
    with http_server(b"hello") as port, pytest.raises(CicoError, match="an HTTP server answers at"):
        ServerIndex(f"grpc://127.0.0.1:{port}", QUICK)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and a certificate for this machine that nobody has signed."""
    folder = tmp_path_factory.mktemp("certificate")
    key, pem = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", pem, *names], check=True, capture_output=True)
    return key, pem


@pytest.fixture(scope="module")
def guarded(certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with TLS and a key."""
    options = ["--tls", *map(str, certificate), "--api-key", "right"]
    with StandInProcess(tmp_path_factory.mktemp("guarded"), *options) as running:
        yield running.url


def test_tls_and_key_let_in_who_has_them(
    guarded: str, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    settings = ServerSettings(
        connect_s=0.0, ca=str(certificate[1]), api_key=SecretStr("right"), tokens=str(tmp_path)
    )
    for url in (guarded, guarded.replace("grpcs", "https")):
        with ServerIndex(url, settings) as index:
            index.create("c", DIM)
            index.upsert("c", drawn_clips(3))
            assert index.count("c") == 3


def test_a_wrong_key_is_refused_at_once(guarded: str, certificate: tuple[Path, Path]) -> None:
    with_ca = ServerSettings(ca=str(certificate[1]))
    for key in (None, "wrong"):
        given = with_ca.model_copy(update={"api_key": SecretStr(key) if key else None})
        with pytest.raises(CicoError, match=r"refuses the key: .*API key.*CICO_QDRANT_API_KEY") as refused:
            ServerIndex(guarded, given)
        assert "wrong" not in str(refused.value)


def test_tls_on_one_side_alone_is_said_so(guarded: str, stand_in: StandInProcess, tmp_path: Path) -> None:
    with pytest.raises(CicoError, match="it speaks TLS there; give https:// or grpcs://"):
        ServerIndex(guarded.replace("grpcs", "grpc"), QUICK)
    with pytest.raises(CicoError, match=r"it speaks no TLS there; give http:// or grpc://"):
        ServerIndex(stand_in.url.replace("grpc", "grpcs"), QUICK)
    with pytest.raises(CicoError, match=r"certificate is not trusted .*CICO_QDRANT_CA"):
        ServerIndex(guarded, QUICK)
    with pytest.raises(InputError, match=r"certificates .*CA.*cannot be read: No such file"):
        ServerIndex(guarded, ServerSettings(ca=str(tmp_path / "none.pem")))


def test_settings_come_from_the_environment() -> None:
    known = {
        "CICO_QDRANT_API_KEY": "k",
        "CICO_QDRANT_SHARD_NUMBER": "3",
        "CICO_QDRANT_ON_DISK_PAYLOAD": "false",
        "CICO_QDRANT_VECTOR_QUANTIZATION": "binary",
        "CICO_QDRANT_CA": "",
        "CICO_QDRANT_URL": "http://a",
    }
    read = server_settings(known)
    assert (read.shard_number, read.on_disk_payload, read.vector_quantization) == (3, False, "binary")
    assert read.api_key is not None
    assert read.api_key.get_secret_value() == "k"
    assert "k" not in repr(read.api_key)
    assert read.ca is None


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SHARD_NUMBERS", "3", r"CICO_QDRANT_SHARD_NUMBERS.*no such setting.*'shard_number'"),
        ("SHARD_NUMBER", "many", r"'shard_number' \(CICO_QDRANT_SHARD_NUMBER\).*'many'"),
        ("VECTOR_QUANTIZATION", "ternary", "'none', 'scalar' or 'binary'"),
        ("TIMEOUT_S", "0", "greater than 0"),
    ],
)
def test_a_setting_that_is_none_is_refused(name: str, value: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        server_settings({f"CICO_QDRANT_{name}": value})


def test_the_option_sets_what_a_verb_and_its_workers_read(
    cico: Cico, monkeypatch: pytest.MonkeyPatch, stand_in: StandInProcess
) -> None:
    monkeypatch.setenv("CICO_QDRANT_TIMEOUT_S", "1")
    ended = cico(
        "search", "boy", "--index", stand_in.url, "--collection", "none", "--qdrant", "timeout-s=7.5"
    )
    assert "nothing is live as 'none'" in ended.stderr
    assert server_settings().timeout_s == 7.5
    program = (
        "from cico_platform.index.server_settings import server_settings; print(server_settings().timeout_s)"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "7.5"
    for pair, says in (
        ("timeout_s", "NAME=VALUE"),
        ("nothing=1", "no such setting"),
        ("hnsw_m=x", "--qdrant"),
    ):
        ended = cico("search", "boy", "--index", stand_in.url, "--qdrant", pair)
        assert ended.returncode == 2
        assert says in ended.stderr


def test_every_setting_is_in_the_help_and_in_the_docs() -> None:
    fields = list(ServerSettings.model_fields)
    assert NAMES.split(", ") == fields
    rows = set(re.findall(r"^\| `(\w+)`", SERVER_DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows == set(fields)
