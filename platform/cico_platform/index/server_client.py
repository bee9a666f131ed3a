"""Calls to a Qdrant server: each has a deadline, and what fails for a passing reason is tried again."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import grpc
from qdrant_client.grpc.collections_service_pb2_grpc import CollectionsStub
from qdrant_client.grpc.points_service_pb2_grpc import PointsStub
from qdrant_client.grpc.qdrant_pb2 import HealthCheckRequest
from qdrant_client.grpc.qdrant_pb2_grpc import QdrantStub

from cico_platform.errors import CicoError, InputError
from cico_platform.index.deadlines import remaining
from cico_platform.index.server_diagnosis import diagnose
from cico_platform.index.server_settings import PREFIX, ServerSettings, server_address

Code = grpc.StatusCode
# What may pass by itself; a limit of the rate, too, where the server says how long to wait.
PASSING = (Code.UNAVAILABLE, Code.ABORTED, Code.DEADLINE_EXCEEDED)
FIRST_WAIT, LONGEST_WAIT = 0.05, 2.0
CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A server that restarts is found again soon: by default the client waits up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A node that is gone without a word is noticed while calls wait for it.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Indexes that a process opens one after the other do not share a connection, nor its failures.
    ("grpc.use_local_subchannel_pool", 1),
)
T = TypeVar("T")
_patient: ContextVar[bool] = ContextVar("cico_patient", default=False)


@contextmanager
def patient_reads() -> Iterator[None]:
    """Let what the block reads in order to write be waited for as its writes are."""
    token = _patient.set(True)
    try:
        yield
    finally:
        _patient.reset(token)


class MissingError(InputError):
    """The server has no such collection."""


class UnreachableError(CicoError):
    """The server does not answer, or not in time."""


class ServerClient:
    """Qdrant's gRPC services at a URL.

    Parameters
    ----------
    url
        As `server_address` takes it.

    Raises
    ------
    InputError
        If the URL or a file of the settings can't be used.
    """

    def __init__(self, url: str, settings: ServerSettings) -> None:
        self.url, self.settings = url, settings
        self.address = server_address(url, settings.grpc_port)
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._metadata = (("api-key", key),) if key else ()
        options = list(CHANNEL_OPTIONS)
        if self.address.tls:
            credentials = grpc.ssl_channel_credentials(_certificates(settings.ca))
            self._channel = grpc.secure_channel(self.address.target, credentials, options)
        else:
            self._channel = grpc.insecure_channel(self.address.target, options)
        self.collections, self.points = CollectionsStub(self._channel), PointsStub(self._channel)

    def version(self) -> str:
        """The server's version."""
        reply = self.read(QdrantStub(self._channel).HealthCheck, HealthCheckRequest())
        return str(reply.version)

    def connect(self, method: Callable[..., T], request: Any) -> T:
        """`read`, where the server may not be there yet."""
        return self._call(method, request, self.settings.timeout_s, self.settings.connect_s)

    def read(self, method: Callable[..., T], request: Any) -> T:
        """Ask for something.

        Raises
        ------
        MissingError
            If the collection is not there.
        UnreachableError
            If the server does not answer within the caller's time, or `timeout_s`.
        CicoError
            If it refuses the request.
        """
        if _patient.get():
            return self.write(method, request)
        return self._call(method, request, self.settings.timeout_s, self.settings.timeout_s)

    def write(self, method: Callable[..., T], request: Any) -> T:
        """Change something, in a way that may be done twice: it is tried again for `patience_s`.

        Raises
        ------
        CicoError
            As `read`.
        """
        return self._call(method, request, self.settings.write_timeout_s, self.settings.patience_s)

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()

    def _call(self, method: Callable[..., T], request: Any, each: float, patience: float) -> T:
        began, left = time.monotonic(), remaining()
        if left == 0:
            raise UnreachableError(f"no time is left to ask the Qdrant server at {self.url}")
        end = began + (patience if left is None else min(patience, left))
        for tries in range(1, 1 << 20):
            seconds = each if left is None else min(each, end - time.monotonic())
            try:
                # 0 would mean no deadline at all.
                return method(request, timeout=max(seconds, 0.001), metadata=self._metadata)
            except grpc.RpcError as error:
                wait = _wait(error, tries)
                if wait is None or time.monotonic() + wait >= end:
                    raise self._said(error, request, tries, time.monotonic() - began) from error
                logging.getLogger(__name__).info(
                    "the Qdrant server at %s: %s; trying again in %.2f s", self.url, error.code(), wait
                )
                time.sleep(wait)
        raise AssertionError("unreachable")

    def _said(self, error: Any, request: Any, tries: int, seconds: float) -> CicoError:
        """The error as a sentence: what was wrong, where, and what to do."""
        code, details = error.code(), _first_line(error.details())
        server = f"the Qdrant server at {self.url}"
        if code == Code.NOT_FOUND:
            return MissingError(f"{server}: {details}")
        if code in (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED):
            return CicoError(f"{server} refuses the key: {details}; set {PREFIX}API_KEY")
        if code in (Code.RESOURCE_EXHAUSTED, Code.OUT_OF_RANGE) and "larg" in details.lower():
            size = request.ByteSize() / (1 << 20)
            advice = f"set {PREFIX}BATCH_BYTES below its limit"
            return CicoError(f"{server} takes no request of {size:.1f} MiB: {details}; {advice}")
        if code == Code.DEADLINE_EXCEEDED:
            return UnreachableError(f"{server} did not answer within {seconds:.1f} s")
        if code == Code.UNAVAILABLE:
            why = diagnose(self.address, self.settings.ca) or details
            again = f" (tried {tries} times in {seconds:.1f} s)" if tries > 1 else ""
            return UnreachableError(f"no Qdrant server can be asked at {self.url}: {why}{again}")
        if code == Code.UNIMPLEMENTED:
            why = f"what answers at {self.url} does not know {type(request).__name__}: {details}"
            return CicoError(f"{why}; a Qdrant server of version 1.16 or later is needed")
        if code == Code.CANCELLED:
            return UnreachableError(f"{server}: the connection was closed")
        return CicoError(f"{server} refuses {type(request).__name__}: {details}")


def _wait(error: Any, tries: int) -> float | None:
    """Seconds until the next try; None if there is no use in one."""
    code = error.code()
    if code == Code.RESOURCE_EXHAUSTED:
        told = dict(error.trailing_metadata() or ()).get("retry-after")
        return float(told) if told is not None and str(told).isdigit() else None
    if code not in PASSING:
        return None
    longest: float = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(tries - 1, 16))
    return longest * random.uniform(0.5, 1.0)


def _certificates(ca: str | None) -> bytes | None:
    if ca is None:
        return None
    try:
        return Path(ca).read_bytes()
    except OSError as error:
        raise InputError(f"the certificates '{ca}' ({PREFIX}CA) cannot be read: {error.strerror}") from error


def _first_line(details: str | None) -> str:
    return ((details or "").splitlines() or ["no reason given"])[0]
