"""`cico export` writes a folder that is complete, or says in a sentence what is wrong and writes nothing."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import cico_model
from cico_model.config import SIGN_ENCODERS, TOWERS
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import save_retrieval_model
from cico_model.text import CorpusTokenizer
from cico_platform.cli.main import app
from cico_platform.errors import InputError
from cico_platform.training.import_weights import import_weights

METRICS = {"R@1": 50.0, "R@5": 75.0, "R@10": 90.0, "MedR": 1.0, "MeanR": 2.5}
REPORT = {"split": "test", "texts": 20, "videos": 20, "t2v": METRICS, "v2t": METRICS}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = CorpusTokenizer.train(["the cat sleeps", "a dog eats"])
    save_retrieval_model(tmp_path / "model", RetrievalModel(TOWERS["tiny"], tokenizer), {"alpha": 0.8})
    return tmp_path / "model"


def test_one_folder_holds_what_others_need(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    options = {"--format": "openvino", "--license": "mit", "--language": "en", "--dataset": "Drawn"}
    options |= {"--out": tmp_path / "finder", "--report": tmp_path / "report.json"}
    arguments = ["export", model, *(part for pair in options.items() for part in pair), "--json"]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["formats"] == ["safetensors", "openvino"]
    assert [graph["file"] for graph in result["graphs"]] == [
        "openvino/video_tower.xml",
        "openvino/text_tower.xml",
    ]
    assert "openvino/text_tower.xml: " in done.stderr
    names = {path.name for path in (tmp_path / "finder").rglob("*") if path.is_file()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md", "text_tower.bin"} <= names
    card = (tmp_path / "finder" / "README.md").read_text()
    assert "# finder" in card
    assert "On the split `test` of Drawn: 20 texts, 20 videos." in card
    again = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert json.loads(again.stdout)["seconds"] == 0.0, "nothing changed"
    loaded = cico_model.load(tmp_path / "finder")
    assert isinstance(loaded, RetrievalModel)
    assert torch.equal(loaded.text.projection, cico_model.load_retrieval_model(model).text.projection)


def test_an_imported_sign_encoder_is_exported_and_loaded_without_change(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = cico_model.SignEncoder(3, SIGN_ENCODERS["tiny"])
    state = {f"module.{name}": value for name, value in encoder.state_dict().items()}
    torch.save({"epoch": 12, "state_dict": state}, tmp_path / "weights.pth.tar")
    import_weights(tmp_path / "weights.pth.tar", tmp_path / "imported")
    done = CliRunner().invoke(app, ["export", str(tmp_path / "imported"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.stderr
    assert "yours to fill in" in " ".join(done.stderr.split())  # lines are wrapped
    loaded, names = cico_model.load(tmp_path / "out")  # type: ignore[misc]
    assert names == ["0", "1", "2"]
    for name, value in encoder.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "tflite"], "setting 'formats"),
        (["--report", "{}/nothing.json"], "is no report.json of 'cico evaluate'"),
        (["--report", "{}/short.json"], "it lacks 't2v'"),
    ],
)
def test_bad_options_are_told_in_a_sentence(
    model: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    (tmp_path / "short.json").write_text('{"split": "test", "texts": 1, "videos": 1}')
    given = [option.format(tmp_path) for option in options]
    done = CliRunner().invoke(app, ["export", str(model), "--out", str(tmp_path / "out"), *given])
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    for folder, said in (
        (tmp_path / "nothing", "is no checkpoint folder"),
        (tmp_path, "is not a checkpoint"),
    ):
        done = CliRunner().invoke(app, ["export", str(folder), "--out", str(tmp_path.parent / "exported")])
        assert isinstance(done.exception, InputError)
        assert said in str(done.exception)
    assert not (tmp_path.parent / "exported").exists()
