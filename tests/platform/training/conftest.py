"""What tests of trainings share: features of the tiny corpus."""

from pathlib import Path

import pytest
from sign_features import write_features


@pytest.fixture(scope="session")
def sign_features(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features as a perfect sign encoder gives them."""
    return write_features(tiny_corpus, tmp_path_factory.mktemp("sign_features"), {"perfect": 0.1})


@pytest.fixture(scope="session")
def two_encoders_features(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of an encoder that hardly knows the signs, and of one that does."""
    folder = tmp_path_factory.mktemp("two_encoders")
    return write_features(tiny_corpus, folder, {"agnostic": 3.0, "aware": 0.1}, alpha=0.25)
