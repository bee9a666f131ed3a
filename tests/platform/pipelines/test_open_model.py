"""A retrieval model takes the features of the sign encoders that it was trained with, and of no others."""

from pathlib import Path
from typing import Any

import pytest
from small_collections import make_model

from cico_model.retrieval_checkpoint import save_retrieval_model
from cico_platform.errors import InputError
from cico_platform.pipelines.embed import open_model
from cico_platform.pipelines.stored_features import INFO_FILE
from cico_platform.steps import write_json

DIM = 8


def about(*encoders: str, alpha: float = 0.8) -> dict[str, Any]:
    known = [{"id": name, "path": f"/encoders/{name}"} for name in encoders]
    return {"encoders": known, "alpha": alpha, "dim": DIM}


@pytest.mark.parametrize(
    ("metadata", "features", "fits"),
    [
        ({"features": about("a"), "alpha": 1.0}, about("a"), True),
        ({"features": about("a"), "alpha": 1.0}, about("b"), False),
        ({"features": about("a", "b"), "alpha": 0.5}, about("a", "b", alpha=0.8), True),
        ({"features": about("a", "b"), "alpha": 0.5}, about("b", "a"), False),
        ({"features": about("a", "b"), "alpha": 0.5}, about("a"), False),
        # An encoder without a share does not count.
        ({"features": about("a", "b"), "alpha": 1.0}, about("a"), True),
        ({"features": about("a"), "alpha": 1.0}, about("a", "c"), True),
        ({"features": about("a", "b"), "alpha": 0.0}, about("c", "b"), True),
        ({"features": about("a", "b"), "alpha": 0.0}, about("a"), False),
        # Trained by an earlier version, or imported.
        ({"alpha": 1.0}, about("b"), True),
        ({}, about("b"), True),
    ],
)
def test_features_of_other_encoders_are_refused_by_name(
    metadata: dict[str, Any], features: dict[str, Any], fits: bool, tmp_path: Path
) -> None:
    save_retrieval_model(tmp_path / "model", make_model(tmp_path / "drawn", 16, feature_dim=DIM), metadata)
    (tmp_path / "features").mkdir()
    write_json(tmp_path / "features" / INFO_FILE, features)
    if fits:
        assert open_model(tmp_path / "model", tmp_path / "features", DIM).config.feature_dim == DIM
        return
    given = [each["path"] for each in features["encoders"]][: len(metadata["features"]["encoders"])]
    said = rf"trained on features of the sign encoder '/encoders/.*has those of .*{given[-1]}.*cico features"
    with pytest.raises(InputError, match=said):
        open_model(tmp_path / "model", tmp_path / "features", DIM)
