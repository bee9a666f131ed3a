"""A proxy in front of an object store that refuses requests, as a store under load does."""

import http.client
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = {"transfer-encoding", "connection", "content-length"}


class FaultyProxy:
    """Counts what it was asked and what it refused.

    Attributes
    ----------
    url
        Of the proxy.
    every
        It refuses each request of this number; 0 refuses none.
    """

    def __init__(self, target: str, every: int) -> None:
        self.every, self.asked, self.refused = every, 0, 0
        self._numbers, self._lock = itertools.count(1), threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, urlsplit(target).netloc))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def refuses(self) -> bool:
        """Whether the next request is refused."""
        with self._lock:
            self.asked = next(self._numbers)
            refused = bool(self.every) and self.asked % self.every == 0
            self.refused += refused
            return refused


@contextmanager
def faulty_proxy(target: str, every: int) -> Iterator[FaultyProxy]:
    """Run a proxy for a store."""
    proxy = FaultyProxy(target, every)
    thread = threading.Thread(target=proxy.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.server.shutdown()
        proxy.server.server_close()


def _handler(proxy: FaultyProxy, target: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _forward(self) -> None:
            body = self._body()
            if proxy.refuses():
                self._answer(403, [], b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
                return
            store = http.client.HTTPConnection(target, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            store.request(self.command, self.path, body, headers)
            found = store.getresponse()
            kept = [(name, value) for name, value in found.getheaders() if name.lower() not in HOP_BY_HOP]
            length = found.getheader("Content-Length") if self.command == "HEAD" else None
            self._answer(found.status, kept, found.read(), length)
            store.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _forward

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                chunks = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _answer(
            self, status: int, headers: list[tuple[str, str]], body: bytes, length: str | None = None
        ) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    return Handler
