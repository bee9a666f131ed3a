"""The server of a stand-in: services behind a gate that checks keys, counts bytes and lets faults happen."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from qdrant_client import grpc as messages
from qdrant_client.grpc.collections_service_pb2_grpc import add_CollectionsServicer_to_server
from qdrant_client.grpc.points_service_pb2_grpc import add_PointsServicer_to_server
from qdrant_client.grpc.qdrant_pb2_grpc import add_QdrantServicer_to_server

from qdrant_stand_in.failures import Control, Faults, RefusedError, fail, halved
from qdrant_stand_in.services import Collections, Health, Points
from qdrant_stand_in.store import Store

CONTROL = "/stand_in.Control/Call"
HEALTH = "/qdrant.Qdrant/HealthCheck"
MAX_REQUEST = 32 << 20
THREADS = 16


@dataclass(frozen=True)
class Options:
    """How a stand-in server runs.

    Attributes
    ----------
    data
        Folder of its collections.
    port
        0 takes a free one.
    api_key
        What clients must send; None takes everyone.
    tls
        PEM files of its key and its certificate.
    strict
        Strict mode of the collections that it makes.
    max_request
        Largest request in bytes.
    faults
        What goes wrong from the start.
    """

    data: Path
    port: int = 0
    api_key: str | None = None
    tls: tuple[Path, Path] | None = None
    strict: messages.StrictModeConfig | None = None
    max_request: int = MAX_REQUEST
    faults: Faults = field(default_factory=Faults)


class Gate(grpc.ServerInterceptor):
    """What every request passes."""

    def __init__(self, control: Control, api_key: str | None) -> None:
        self.control, self.api_key = control, api_key

    def intercept_service(self, continuation: Callable[..., Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None or details.method == CONTROL:
            return handler
        work, method = handler.unary_unary, details.method

        def answer(request: Any, context: Any) -> Any:
            try:
                self._check_key(method, dict(context.invocation_metadata()))
                reply = self._within_faults(work, method, request, context)
            except RefusedError as refused:
                self.control.count(method, request.ByteSize(), 0)
                if refused.retry_after is not None:
                    context.set_trailing_metadata((("retry-after", str(refused.retry_after)),))
                context.abort(refused.code, refused.details)
            self.control.count(method, request.ByteSize(), reply.ByteSize())
            return reply

        return grpc.unary_unary_rpc_method_handler(
            answer, handler.request_deserializer, handler.response_serializer
        )

    def _check_key(self, method: str, metadata: dict[str, str]) -> None:
        if self.api_key is None or method == HEALTH:
            return
        bearer = metadata.get("authorization", "").removeprefix("Bearer ")
        given = metadata.get("api-key") or bearer
        if not given:
            words = "Must provide an API key or an Authorization bearer token"
            raise RefusedError(grpc.StatusCode.UNAUTHENTICATED, words)
        if given != self.api_key:
            raise RefusedError(grpc.StatusCode.UNAUTHENTICATED, "Invalid API key or JWT")

    def _within_faults(self, work: Callable[..., Any], method: str, request: Any, context: Any) -> Any:
        faults = self.control.strike(method)
        if faults is None:
            return work(request, context)
        if faults.kind == "hang":
            time.sleep(min(context.time_remaining() or 60.0, 60.0))
            raise RefusedError(grpc.StatusCode.DEADLINE_EXCEEDED, "Timeout: the operation took too long")
        if faults.kind == "lose-answer":
            work(request, context)
        elif faults.kind in ("half", "die"):
            half = halved(request)
            if half is not None:
                work(half, context)
        return fail(faults)


class StandIn:
    """A running server."""

    def __init__(self, options: Options) -> None:
        self.store, control = Store(options.data, options.strict), Control(options.faults)
        self._server = grpc.server(
            ThreadPoolExecutor(THREADS),
            interceptors=[Gate(control, options.api_key)],
            options=[
                ("grpc.max_receive_message_length", options.max_request),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", 1000),
            ],
        )
        add_QdrantServicer_to_server(Health(), self._server)
        add_CollectionsServicer_to_server(Collections(self.store), self._server)
        add_PointsServicer_to_server(Points(self.store), self._server)
        service, _, name = CONTROL.strip("/").partition("/")
        handler = grpc.unary_unary_rpc_method_handler(lambda request, _: control.answer(request))
        generic = grpc.method_handlers_generic_handler(service, {name: handler})
        self._server.add_generic_rpc_handlers((generic,))
        address = f"127.0.0.1:{options.port}"
        if options.tls is None:
            self.port = self._server.add_insecure_port(address)
        else:
            pair = [file.read_bytes() for file in options.tls]
            credentials = grpc.ssl_server_credentials([(pair[0], pair[1])])
            self.port = self._server.add_secure_port(address, credentials)
        self._server.start()

    def wait(self, stop: threading.Event) -> None:
        """Serve until told to stop, then write everything down."""
        stop.wait()
        self._server.stop(grace=1).wait()
        self.store.close()
