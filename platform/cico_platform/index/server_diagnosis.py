"""Why a Qdrant server can't be reached: what answers at its address is looked at, and said in a sentence."""

import json
import socket
import ssl

from cico_platform.index.server_settings import GRPC_PORT, PREFIX, ServerAddress

SECONDS = 2.0
HTTP = b"HTTP/1."


def diagnose(address: ServerAddress, ca: str | None = None) -> str:
    """Why gRPC can't talk to what is at an address; empty if nothing is seen to be wrong."""
    try:
        socket.create_connection((address.host, address.port), SECONDS).close()
    except socket.gaierror:
        return f"the host '{address.host}' is not known"
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        return f"nothing answers at {address.target}: {reason.lower()}"
    return _why_no_tls(address, ca) if address.tls else _why_no_grpc(address)


def _why_no_tls(address: ServerAddress, ca: str | None) -> str:
    if not speaks_tls(address):
        return "it speaks no TLS there; give http:// or grpc:// in place of https:// or grpcs://"
    try:
        context = ssl.create_default_context(cafile=ca)
        _handshake(address, context)
    except ssl.SSLCertVerificationError as error:
        advice = f"give the certificates to check it with as {PREFIX}CA"
        return f"its certificate is not trusted ({error.verify_message}); {advice}"
    except (OSError, ValueError):
        pass
    return ""


def _why_no_grpc(address: ServerAddress) -> str:
    answer = _ask_http(address)
    if answer.startswith(HTTP):
        if b"qdrant" in answer.lower():
            return (
                f"{address.target} is the HTTP port of a Qdrant server{_version(answer)}; give its gRPC "
                f"port, as in grpc://{address.host}:{GRPC_PORT}, or set {PREFIX}GRPC_PORT"
            )
        if not speaks_tls(address):
            return f"an HTTP server answers at {address.target}, which is no Qdrant server's gRPC port"
    if speaks_tls(address):
        return "it speaks TLS there; give https:// or grpcs:// in place of http:// or grpc://"
    return ""


def speaks_tls(address: ServerAddress) -> bool:
    """Whether what listens at an address takes a TLS handshake, whatever its certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        _handshake(address, context)
    except (OSError, ValueError):
        return False
    return True


def _handshake(address: ServerAddress, context: ssl.SSLContext) -> None:
    with (
        socket.create_connection((address.host, address.port), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=address.host),
    ):
        return


def _ask_http(address: ServerAddress) -> bytes:
    """The beginning of what an HTTP server answers; empty if what listens is none."""
    try:
        with socket.create_connection((address.host, address.port), SECONDS) as plain:
            plain.sendall(f"GET / HTTP/1.0\r\nHost: {address.host}\r\n\r\n".encode())
            answer = b""
            while len(answer) < 4096 and (more := plain.recv(4096)):
                answer += more
            return answer
    except OSError:
        return b""


def _version(answer: bytes) -> str:
    body = answer.partition(b"\r\n\r\n")[2]
    try:
        return f" {json.loads(body)['version']}"
    except (ValueError, KeyError, TypeError):
        return ""
