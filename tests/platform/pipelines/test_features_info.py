"""What a feature folder says of itself is checked when it is read."""

import json
from pathlib import Path

import pytest

from cico_platform.errors import InputError
from cico_platform.pipelines.stored_features import read_info
from cico_platform.schemas.features_info import INFO_FILE

KNOWN = {"encoders": [{"id": "a", "path": "encoder"}], "alpha": 0.8, "dim": 4}


def test_folders_of_earlier_versions_say_less(tmp_path: Path) -> None:
    (tmp_path / INFO_FILE).write_text(json.dumps(KNOWN))
    info = read_info(tmp_path)
    assert (info.stride, info.windows, info.precision, info.encoders[0].id) == (1, 64, "auto", "a")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "Invalid JSON"),
        (json.dumps({**KNOWN, "encoders": []}), "encoders"),
        (json.dumps({**KNOWN, "alpha": 2.0}), "alpha"),
        (json.dumps({**KNOWN, "stride": 0}), "stride"),
        (json.dumps({"alpha": 0.8, "dim": 4}), "encoders"),
    ],
)
def test_what_does_not_describe_features_is_told_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / INFO_FILE).write_text(text)
    with pytest.raises(InputError, match=f"does not describe features: .*{told}.*cico features"):
        read_info(tmp_path)


def test_a_folder_without_it_holds_no_features(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no features"):
        read_info(tmp_path)
