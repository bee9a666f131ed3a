"""Fixtures of the platform's tests: a tiny corpus, its features, a tiny index, a bucket of a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cico_command import Cico
from object_store import BUCKET, s3_server
from sign_features import write_features
from tiny_corpus import write_corpus

from cico_platform.corpus.isolation import _idle
from cico_platform.index.server import ServerIndex


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of four signs and sentences of them, two of which are damaged."""
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus")


@pytest.fixture(scope="session")
def sign_features(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features as a perfect sign encoder gives them."""
    return write_features(tiny_corpus, tmp_path_factory.mktemp("sign_features"), {"perfect": 0.1})


@pytest.fixture(scope="session")
def two_encoders_features(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of an encoder that hardly knows the signs, and of one that does."""
    folder = tmp_path_factory.mktemp("two_encoders")
    return write_features(tiny_corpus, folder, {"agnostic": 3.0, "aware": 0.1}, alpha=0.25)


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
