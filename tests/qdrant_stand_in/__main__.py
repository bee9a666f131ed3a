"""Run a stand-in server: `python -m qdrant_stand_in --data DIR`; it prints its address once it is up."""

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path

from qdrant_stand_in.failures import Faults
from qdrant_stand_in.server import MAX_REQUEST, Options, StandIn
from qdrant_stand_in.strict_mode import STRICT


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser("qdrant_stand_in", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of its collections; it is kept")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--api-key")
    parser.add_argument("--tls", type=Path, nargs=2, metavar=("KEY", "CERTIFICATE"), help="PEM files")
    parser.add_argument("--strict", action="store_true", help="collections are made in strict mode")
    parser.add_argument("--max-request", type=int, default=MAX_REQUEST, help="bytes of a request")
    parser.add_argument("--faults", type=json.loads, default={}, help="JSON; see failures.Faults")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input ends")
    given = parser.parse_args()
    stop = threading.Event()
    if given.until_eof:
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    running = StandIn(
        Options(
            given.data,
            given.port,
            given.api_key,
            tuple(given.tls) if given.tls else None,
            STRICT if given.strict else None,
            given.max_request,
            Faults.of(given.faults),
        )
    )
    scheme = "grpcs" if given.tls else "grpc"
    print(f"{scheme}://127.0.0.1:{running.port}", flush=True)
    running.wait(stop)


if __name__ == "__main__":
    main()
