"""A Qdrant server to measure: one that runs, or the checkout's stand-in, while it is needed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cico_platform.benchmarks.plain import checkout
from cico_platform.errors import CicoError

# In the place of a URL: the server that the environment names, else the stand-in.
AUTO, URL_VARIABLE = "auto", "CICO_QDRANT_URL"


@contextmanager
def server_at_hand(url: str, data: Path) -> Iterator[str]:
    """Give the URL of a server, until the block ends.

    Parameters
    ----------
    url
        Of a server that runs; or `AUTO`.
    data
        Where a stand-in keeps its collections.

    Raises
    ------
    InputError
        If a stand-in is needed, and there is no checkout.
    CicoError
        If it does not start.
    """
    known = os.environ.get(URL_VARIABLE, "") if url == AUTO else url
    if known:
        yield known
        return
    process = subprocess.Popen(
        # It ends with this process, however that ends.
        [sys.executable, "-m", "qdrant_stand_in", "--data", str(data), "--until-eof"],
        cwd=checkout() / "tests",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise CicoError(f"the stand-in for a Qdrant server did not start: it ended with {process.wait()}")
        yield address
    finally:
        process.terminate()
        process.communicate()
