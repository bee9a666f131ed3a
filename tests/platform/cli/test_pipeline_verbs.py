"""The verbs of the pipelines: what they print, and how they refuse what cannot be used."""

import json
from pathlib import Path

import pytest
from cico_command import Cico
from tiny_corpus import write_encoder


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mine", "{}", "--encoder", "{}", "--out", "{}/x"], "manifest.parquet"),
        (["evaluate", "{}", "--features", "{}", "--model", "{}", "--out", "{}/x"], "holds no features"),
        (["index", "{}", "--features", "{}", "--model", "{}", "--index", "{}/x"], "holds no features"),
        (["train", "sign-encoder", "{}", "--out", "{}/x", "--set", "lr"], "name=value"),
        (["train", "sign-encoder", "{}", "--out", "{}/x", "--set", "lr=-1"], "setting 'lr'"),
        (["train", "retrieval", "{}", "--features", "{}", "--out", "{}/x", "--set", "a=1"], "setting 'a'"),
    ],
)
def test_bad_input_is_told_in_a_sentence(cico: Cico, arguments: list[str], said: str, tmp_path: Path) -> None:
    found = cico(*(argument.format(tmp_path) for argument in arguments))
    assert found.returncode == 2
    assert said in found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout == ""


@pytest.mark.usefixtures("ray_cluster")
def test_a_verb_ends_with_one_json_object_of_its_counts(
    cico: Cico, tiny_corpus: Path, tmp_path: Path
) -> None:
    encoder = write_encoder(tmp_path / "encoder")
    found = cico("features", tiny_corpus, "--encoder", encoder, "--out", tmp_path / "features", "--json")
    assert found.returncode == 0, found.stderr
    (line,) = found.stdout.splitlines()
    result = json.loads(line)
    assert (result["done"], result["skipped"], result["quarantined"]) == (22, 0, 2)
    assert result["seconds"] > 0
    assert "22 done, 0 skipped, 2 quarantined" in found.stderr
    again = cico(
        "features", tiny_corpus, "--encoder", encoder, "--out", tmp_path / "features", "--json", "--strict"
    )
    assert json.loads(again.stdout)["skipped"] == 22
    assert again.returncode == 1, "two clips are in quarantine"
