"""Fixtures of the platform's tests: a tiny corpus, its features, a tiny index, a bucket of a real server."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cico_command import Cico
from object_store import BUCKET, s3_server
from qdrant_stand_in.contents import clear, collections_of
from qdrant_stand_in.process import StandInProcess
from sign_features import write_features
from tiny_corpus import write_corpus

from cico_platform.corpus.isolation import _idle
from cico_platform.index.base import VectorIndex, open_index


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
def tiny_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `videos/`, `encoder/`, `model/` and `index/`.

    It is only read. An embedded index has one owner: whoever opens it closes it.
    """
    from tiny_index import build_tiny_index

    folder = tmp_path_factory.mktemp("tiny")
    build_tiny_index(folder)
    return folder


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInProcess]:
    """A stand-in for a Qdrant server: one process a session, for tests that look at it or let it fail."""
    with StandInProcess(tmp_path_factory.mktemp("qdrant")) as running:
        yield running


@pytest.fixture(scope="session")
def qdrant_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server of `CICO_QDRANT_URL`, which must be empty, or the stand-in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CICO_QDRANT_TOKENS", str(tmp_path_factory.mktemp("tokens")))
        live = os.environ.get("CICO_QDRANT_URL")
        if live and collections_of(live):
            pytest.exit("the server of CICO_QDRANT_URL must be empty: tests remove all that is in it")
        yield live or request.getfixturevalue("stand_in").url


@pytest.fixture
def server_url(qdrant_url: str) -> Iterator[str]:
    """A server that holds nothing."""
    clear(qdrant_url)
    yield qdrant_url
    clear(qdrant_url)


@pytest.fixture
def server_index(server_url: str) -> Iterator[VectorIndex]:
    """An empty index on a server."""
    with open_index(server_url) as opened:
        yield opened


@pytest.fixture
def tiny_server(tiny_index: Path, server_index: VectorIndex) -> VectorIndex:
    """The tiny index on a server."""
    from tiny_index import copy_index

    copy_index(tiny_index / "index", server_index)
    return server_index


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
