"""One tiny index and one app on it for all tests of the API."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_in_process import Encoders, make_service
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cico_platform.index.search import Searcher
from cico_platform.serving.http import build_app
from cico_platform.serving.service import SearchService


@pytest.fixture(scope="package")
def folder(tiny_index: Path) -> Path:
    """Holds `videos/` and `index/`."""
    return tiny_index


@pytest.fixture(scope="package")
def searcher(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    """On a copy of the index: this one stays open while tests of other packages open theirs."""
    own = tmp_path_factory.mktemp("served") / "index"
    shutil.copytree(folder / "index", own)
    with Searcher.open(own) as opened:
        yield opened


@pytest.fixture(scope="package")
def encoders(searcher: Searcher) -> Encoders:
    return Encoders(searcher)


@pytest.fixture(scope="package")
def served(searcher: Searcher, encoders: Encoders) -> tuple[FastAPI, SearchService, Encoders]:
    service = make_service(searcher, encoders)
    return build_app(service, "0"), service, encoders


@pytest.fixture
def client(served: tuple[FastAPI, SearchService, Encoders]) -> TestClient:
    return TestClient(served[0], raise_server_exceptions=False)
