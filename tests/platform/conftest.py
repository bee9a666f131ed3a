"""What the tests of the platform share: a tiny corpus, a bucket of a real S3 server, the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cico_command import Cico
from object_store import BUCKET, s3_server
from tiny_corpus import write_corpus


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of four signs and sentences of them, two of which are damaged."""
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus")


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """A bucket's URL; one server a session, as clients keep the one that they met first."""
    with s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield f"s3://{BUCKET}"


@pytest.fixture
def cico(capfd: pytest.CaptureFixture[str]) -> Cico:
    """The command line, in this process."""
    return Cico(capfd)
