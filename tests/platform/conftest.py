"""Fixtures of the platform's tests: a tiny corpus, a tiny index, a bucket of a real S3 server, `cico`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cico_command import Cico
from object_store import BUCKET, s3_server
from tiny_corpus import write_corpus

from cico_platform.corpus.isolation import _idle
from cico_platform.index.server import ServerIndex


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of four signs and sentences of them, two of which are damaged."""
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus")


@pytest.fixture(scope="session")
def tiny_index(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ServerIndex]:
    """A folder with `videos/`, `encoder/`, `model/` and `index/`, and the same index by a server's client.

    It is only read. An embedded index has one owner: whoever opens it closes it.
    """
    from tiny_index import build_tiny_index

    folder, server = tmp_path_factory.mktemp("tiny"), ServerIndex(":memory:")
    build_tiny_index(folder, server)
    return folder, server


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """A bucket's URL; one server a session, as clients keep the one that they met first."""
    with s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        _idle.close()  # decoders that wait for work have the environment of before
        yield f"s3://{BUCKET}"


@pytest.fixture
def cico(capfd: pytest.CaptureFixture[str]) -> Cico:
    """The command line, in this process."""
    return Cico(capfd)
