"""Serving an index: checks it, starts Ray Serve on it, stops cleanly."""

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import ray
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.schema import DeploymentStatus, ServeStatus

from cico_platform.cluster import connect
from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import open_index
from cico_platform.index.serving_info import DEFAULT_ALIAS, ServingInfo, live_serving
from cico_platform.ray_compat import SERVE_ENVIRONMENT, SERVE_PROXY_MIDDLEWARES
from cico_platform.serving import proxy
from cico_platform.serving.deployments import build
from cico_platform.serving.feedback import check_folder
from cico_platform.serving.keys import read_keys
from cico_platform.serving.settings import ServiceSettings

APPLICATION = "cico"
# The proxy is started with these, and reads them then.
PROXY = {**SERVE_ENVIRONMENT, SERVE_PROXY_MIDDLEWARES: proxy.IMPORT_PATH}


def serve_index(
    index: str | Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    blocking: bool = True,
    *,
    alias: str = DEFAULT_ALIAS,
    settings: ServiceSettings | None = None,
    on_ready: Callable[[str], None] | None = None,
    request_seconds: float = 120.0,
    keep_alive_seconds: int = 5,
) -> str:
    """Serve the API and the page.

    Parameters
    ----------
    index
        Path or URL of an index.
    blocking
        Serve until interrupted, then stop; otherwise return once it is up (`stop_serving` stops it).
    on_ready
        Called with the address once it answers.
    request_seconds, keep_alive_seconds
        Longest that a request may take, and that a connection may wait for the next one.

    Returns
    -------
    str
        The address, `http://host:port`.

    Raises
    ------
    InputError
        If there is no index or no file of keys, feedback can't be written, or the port is taken.
    CicoError
        If the index is in use, or the service does not come up.
    """
    location = str(index) if "://" in str(index) else str(Path(index).absolute())
    info = _check(location, alias)
    if settings is not None and settings.keys is not None:
        read_keys(settings.keys)
    if settings is not None and settings.feedback is not None:
        check_folder(Path(settings.feedback))
    check_port(host, port)
    ours = not ray.is_initialized()
    if blocking and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # `connect` keeps it
    for name, value in PROXY.items():
        os.environ.setdefault(name, value)
    os.environ[proxy.SECONDS] = str(request_seconds)
    connect()
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    address = f"http://{host}:{port}"
    try:
        options = HTTPOptions(
            host=host,
            port=port,
            request_timeout_s=request_seconds,
            keep_alive_timeout_s=keep_alive_seconds,
        )
        serve.start(http_options=options)
        application = build(location, info, alias, settings or ServiceSettings())
        serve.run(application, name=APPLICATION, route_prefix="/", blocking=False)
        if on_ready is not None:
            on_ready(address)
        if blocking:
            threading.Event().wait()
    except KeyboardInterrupt:
        stop_serving(ours)
    except RuntimeError as error:
        why = failures(serve.status()) or str(error)
        stop_serving(ours)
        raise CicoError(f"the service did not come up: {why}") from error
    return address


def failures(status: ServeStatus) -> str:
    """The deployments that could not start, each with the error of its last try; empty if Ray knows none."""
    failed = [
        f"{name}: {[line for line in deployment.message.splitlines() if line.strip()][-1]}"
        for application in status.applications.values()
        for name, deployment in application.deployments.items()
        if deployment.status == DeploymentStatus.DEPLOY_FAILED and deployment.message.strip()
    ]
    return "; ".join(failed)


def stop_serving(and_ray: bool = False) -> None:
    """Stop the service. Ray Serve ends its proxy at once: requests that are being answered get no answer."""
    with contextlib.redirect_stdout(sys.stderr):  # Ray's own words about stopping are no result
        serve.shutdown()
        if and_ray:
            ray.shutdown()


def check_port(host: str, port: int) -> None:
    """Refuse an address that can't be listened on.

    Raises
    ------
    InputError
        If so.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise InputError(f"can't listen on {host}:{port}: {error}; choose another --port") from error


def _check(location: str, alias: str) -> ServingInfo:
    with open_index(location, must_exist=True) as opened:
        return live_serving(opened, alias)
