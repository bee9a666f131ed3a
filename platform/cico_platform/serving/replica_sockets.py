"""Unix sockets on which a node's replicas answer HTTP, so that its proxy need not go through Ray for it."""

import asyncio
import contextlib
import os
import stat
import tempfile
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import ray
import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cico_platform.serving.disconnects import until_disconnected

# The client's address, which the proxy tells the replica.
CLIENT = "x-cico-client"
# How many searches a replica takes at the same time; each of its answers tells the proxy.
PLACES = "x-cico-places"
SUFFIX = ".sock"
# A proxy closes a connection that it does not use before the replica does.
PROXY_KEEP_ALIVE_SECONDS, REPLICA_KEEP_ALIVE_SECONDS = 60.0, 300
# Longest that requests in progress may take when a replica is stopped.
STOP_SECONDS = 4
STEP_SECONDS = 0.01


def node_folder() -> Path:
    """Return this node's folder of sockets, which only this user can use.

    Raises
    ------
    OSError
        If it cannot be made, or belongs to another user.
    """
    node = ray.get_runtime_context().get_node_id()
    return private_folder(Path(tempfile.gettempdir()) / f"cico-{os.getuid()}" / node[:16])


def private_folder(folder: Path) -> Path:
    """Make a folder and its parent, accessible for this user only.

    Raises
    ------
    OSError
        If one exists and is another user's, or accessible for others.
    """
    for each in (folder.parent, folder):
        each.mkdir(mode=0o700, exist_ok=True)
        found = each.lstat()
        if (
            found.st_uid != os.getuid()
            or stat.S_IMODE(found.st_mode) & 0o077
            or not stat.S_ISDIR(found.st_mode)
        ):
            raise PermissionError(f"'{each}' is not a folder of this user alone")
    return folder


def sockets(folder: Path) -> list[Path]:
    """Return the sockets in a folder; some of them may belong to replicas that are gone."""
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if entry.name.endswith(SUFFIX)]
    except FileNotFoundError:
        return []


class ReplicaServer:
    """Serves an ASGI application on a socket in a node's folder, in the running event loop.

    Parameters
    ----------
    app
        Sees each client's own address.
    places
        How many searches it takes at the same time.
    folder
        Of this node.
    """

    def __init__(self, app: ASGIApp, places: Callable[[], int], folder: Path) -> None:
        self.path = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        config = uvicorn.Config(
            _OfProxies(app, places),
            uds=str(self.path),
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=REPLICA_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return once it answers."""
        remove_left_over(self.path.parent)
        self._task = asyncio.create_task(self._server.serve())
        while not self._server.started and not self._task.done():
            await asyncio.sleep(STEP_SECONDS)
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Take no more requests, and finish those in progress."""
        self.path.unlink(missing_ok=True)
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=STOP_SECONDS + 1)


def remove_left_over(folder: Path) -> None:
    """Remove sockets of processes that are gone."""
    for path in sockets(folder):
        pid = path.name.partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            path.unlink(missing_ok=True)


class _Server(uvicorn.Server):
    """Leaves the process' signals alone."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()


class _OfProxies:
    """Gives the application the client's own address, and each answer the number of places."""

    def __init__(self, app: ASGIApp, places: Callable[[], int]) -> None:
        self.app, self.places = app, places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = MutableHeaders(scope=scope)
        host, _, port = headers.get(CLIENT, "").rpartition(" ")
        del headers[CLIENT]
        scope["client"] = (host, int(port)) if port.isdecimal() else None

        async def send_with_places(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = (PLACES.encode(), str(self.places()).encode())
                message["headers"] = [*message.get("headers", []), told]
            await send(message)

        await until_disconnected(self.app, scope, receive, send_with_places)
