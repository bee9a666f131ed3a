"""What the tests of pipelines and training share: a tiny corpus of real videos."""

from pathlib import Path

import pytest
from tiny_corpus import write_corpus


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of four signs and sentences of them, two of which are damaged."""
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus")
