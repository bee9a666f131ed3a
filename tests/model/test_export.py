"""What is exported says what the checkpoint says: loaded again, as ONNX, as OpenVINO, and in its card."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

import cico_model
from cico_model.card import METRICS, CardDetails
from cico_model.checkpoint import save_sign_encoder
from cico_model.clip_import import openai_names
from cico_model.config import TOWERS, SignEncoderConfig, TowerConfig
from cico_model.export import export_model, portable
from cico_model.graphs import GraphError, GraphFormat, largest_difference, retrieval_graphs
from cico_model.model import RetrievalModel
from cico_model.quiet_imports import import_openvino
from cico_model.retrieval_checkpoint import import_retrieval_model, save_retrieval_model
from cico_model.sign_encoder import SignEncoder
from cico_model.text import CorpusTokenizer

TEXTS = ["the cat sleeps", "a dog eats", "birds fly south", "we swim at night"]
CONFIG = replace(TOWERS["tiny"], feature_dim=16, video_width=32, text_width=32, embed_dim=16, max_windows=12)
MICRO = SignEncoderConfig("tiny", 0.0625, 32)
Arrays = list[NDArray[Any]]
REPORT = {
    "split": "test", "texts": 200, "videos": 210,
    **{way: {metric: 12.5 + i for i, metric in enumerate(METRICS)} for way in ("t2v", "v2t")},
    "intervals": {way: {metric: [10.25, 15] for metric in METRICS} for way in ("t2v", "v2t")},
}  # fmt: skip


def make_model(**change: Any) -> RetrievalModel:
    torch.manual_seed(0)
    config: TowerConfig = replace(CONFIG, **change)
    return RetrievalModel(config, CorpusTokenizer.train(TEXTS * 2)).eval()


def front_matter(folder: Path) -> dict[str, Any]:
    _, matter, _ = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(matter)
    return found


def runner(file: Path, kind: GraphFormat) -> Callable[..., Arrays]:
    """The file as anyone would run it who has no PyTorch."""
    if kind == "onnx":
        onnxruntime = pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        return lambda **inputs: session.run(None, inputs)
    compiled = import_openvino().Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda **inputs: [value.copy() for value in compiled(inputs).values()]


def need(kind: GraphFormat) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime") if kind == "onnx" else ("openvino",):
        pytest.importorskip(package, reason=f"the format '{kind}' needs {package}")


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, "onnx"),
        ({}, "openvino"),
        ({"mask_padding": False}, "openvino"),
        ({"streams": 2}, "openvino"),
        pytest.param({"mask_padding": False}, "onnx", marks=pytest.mark.slow),
        pytest.param({"streams": 2}, "onnx", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_both_towers_run_without_pytorch_at_any_size(
    change: dict[str, Any], kind: GraphFormat, tmp_path: Path
) -> None:
    need(kind)
    model = make_model(**change)
    save_retrieval_model(tmp_path / "model", model)
    graphs = export_model(tmp_path / "model", tmp_path / "out", [kind])
    assert [Path(graph["file"]).parent.name for graph in graphs] == [kind, kind]
    assert all(0 < graph["difference"] < 1e-4 for graph in graphs)
    video, text = (runner(tmp_path / "out" / graph["file"], kind) for graph in graphs)
    generator = torch.Generator().manual_seed(3)
    for batch, windows in ((1, 1), (3, 7), (2, 12), (7, 11)):
        count = 12 if model.config.streams == 2 else windows
        features = torch.randn(batch, count * model.config.streams, 16, generator=generator)
        valid = torch.arange(count)[None] <= torch.randint(0, count, (batch, 1), generator=generator)
        tokens, token_valid = video(features=features.numpy(), valid=valid.numpy())
        expected = model.encode_video(features, valid).detach()
        torch.testing.assert_close(torch.from_numpy(tokens), expected, atol=1e-5, rtol=1e-5)
        assert np.array_equal(token_valid, model.video_mask(valid).numpy())
    for texts in (TEXTS[:1], TEXTS, ["cat"]):
        ids = model.tokenise(texts).ids
        expected = model.encode_text(texts).tokens.detach()
        (tokens,) = text(token_ids=ids.numpy())
        torch.testing.assert_close(torch.from_numpy(tokens), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [pytest.param("onnx", marks=pytest.mark.slow), "openvino"])
def test_a_sign_encoder_runs_without_pytorch_in_any_batch(kind: GraphFormat, tmp_path: Path) -> None:
    need(kind)
    torch.manual_seed(0)
    encoder = SignEncoder(3, MICRO)
    encoder.train()(torch.rand(4, 3, 16, 32, 32))  # statistics that are not those of a fresh network
    save_sign_encoder(tmp_path / "model", encoder.eval(), ["red", "green", "blue"], {"settings": {"lr": 1}})
    (graph,) = export_model(tmp_path / "model", tmp_path / "out", [kind])
    run = runner(tmp_path / "out" / graph["file"], kind)
    for batch in (1, 3, 4):
        clips = torch.rand(batch, 3, 16, 32, 32) - 0.5
        for found, expected in zip(run(clips=clips.numpy()), encoder(clips), strict=True):
            torch.testing.assert_close(torch.from_numpy(found), expected.detach(), atol=1e-6, rtol=1e-4)
    loaded, labels = cico_model.load(tmp_path / "out")  # type: ignore[misc]
    assert labels == ["red", "green", "blue"]
    assert same_weights(loaded, encoder)


def test_half_precision_halves_the_file_and_is_read_as_single_precision(tmp_path: Path) -> None:
    encoder, model = SignEncoder(3, MICRO).eval(), make_model()
    save_sign_encoder(tmp_path / "encoder", encoder, ["red", "green", "blue"])
    save_retrieval_model(tmp_path / "model", model)
    for name, network in (("encoder", encoder), ("model", model)):
        export_model(tmp_path / name, tmp_path / f"half-{name}", half=True)
        whole, half = (tmp_path / folder / "model.safetensors" for folder in (name, f"half-{name}"))
        assert half.stat().st_size < 0.6 * whole.stat().st_size
        found = cico_model.load(half.parent)
        loaded = found[0] if isinstance(found, tuple) else found
        for key, value in loaded.state_dict().items():
            assert value.dtype == network.state_dict()[key].dtype
            torch.testing.assert_close(value, network.state_dict()[key], atol=1e-6, rtol=1e-3)


def test_a_weight_that_half_precision_cannot_hold_is_refused(tmp_path: Path) -> None:
    encoder = SignEncoder(3, MICRO)
    with torch.no_grad():
        encoder.logits.conv3d.bias[0] = 1e6
    with pytest.raises(ValueError, match=r"logits\.conv3d\.bias.*half precision"):
        save_sign_encoder(tmp_path / "encoder", encoder, ["red", "green", "blue"], half=True)


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_a_graph_that_says_something_else_is_refused() -> None:
    _, text = retrieval_graphs(make_model())

    def changed(inputs: tuple[Tensor, ...]) -> list[Tensor]:
        return [text.module(*inputs) * 1.001]

    with torch.no_grad(), pytest.raises(GraphError, match=r"'tokens' of 'text_tower' as a graph is .* apart"):
        largest_difference(text, changed)
    with torch.no_grad(), pytest.raises(GraphError, match="has shape"):
        largest_difference(text, lambda inputs: [text.module(*inputs)[:, :1]])
    with torch.no_grad(), pytest.raises(GraphError, match="nan apart"):
        largest_difference(text, lambda inputs: [text.module(*inputs) * torch.nan])


def test_an_exported_model_is_loaded_as_it_was(tmp_path: Path) -> None:
    model = make_model(dropout=0.1, design="depart")
    metadata = {"settings": {"lr": 0.1}, "alpha": 0.7, "features": {"encoders": [{"path": "/home/me/a"}]}}
    save_retrieval_model(tmp_path / "model", model, metadata)
    assert export_model(tmp_path / "model", tmp_path / "out") == []
    loaded = cico_model.load(tmp_path / "out")
    assert isinstance(loaded, RetrievalModel)
    assert loaded.config == model.config
    assert same_weights(loaded, model)
    assert loaded.encode_text(TEXTS).words == model.encode_text(TEXTS).words
    described = json.loads((tmp_path / "out" / "config.json").read_text())
    # Someone's folders are nobody's business.
    assert described["metadata"] == {**metadata, "features": {"encoders": [{"path": "a"}]}}
    assert "/home/me" not in (tmp_path / "out" / "README.md").read_text()
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match=r"'.*nothing' is not a checkpoint"):
        export_model(tmp_path / "nothing", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def published_weights(seed: int) -> dict[str, Tensor]:
    """Weights under the published names: CLIP's towers, narrow, with a first layer for sign features."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)
    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 1, "num_attention_heads": 1}
    text = {**sizes, "vocab_size": 49408, "max_position_embeddings": 32}
    vision = {**sizes, "image_size": 64, "patch_size": 32}
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=32))
    weights = openai_names(clip.state_dict())
    sign = {
        "visual.conv1.weight": torch.randn(64, 20, 1, 1),
        "visual.positional_embedding": torch.randn(9, 64),
    }
    return {f"clip.{name}": value for name, value in {**weights, **sign}.items()}


def test_published_towers_survive_import_export_and_load(tmp_path: Path) -> None:
    model = import_retrieval_model(published_weights(1))
    save_retrieval_model(tmp_path / "imported", model, {"imported_from": "ckpt.best.pth.tar"})
    export_model(tmp_path / "imported", tmp_path / "out")
    loaded = cico_model.load(tmp_path / "out")
    assert isinstance(loaded, RetrievalModel)
    assert same_weights(loaded, model)
    assert not loaded.config.mask_padding
    assert loaded.tokenise(TEXTS).ids.tolist() == model.tokenise(TEXTS).ids.tolist()
    assert "Imported from `ckpt.best.pth.tar`." in (tmp_path / "out" / "README.md").read_text()


def test_the_card_tells_what_a_model_hub_and_a_reader_need(tmp_path: Path) -> None:
    save_retrieval_model(tmp_path / "model", make_model(), {"validation": {"t2v_R@1": 31.0}})
    details = CardDetails("Finder", "cc-by-4.0", ("en", "ase"), "How2Sign", REPORT)
    export_model(tmp_path / "model", tmp_path / "out", details=details)
    found = front_matter(tmp_path / "out")
    assert found["license"] == "cc-by-4.0"
    assert found["language"] == ["en", "ase"]
    assert found["library_name"] == "cico"
    (entry,) = found["model-index"]
    assert entry["name"] == "Finder"
    metrics = [
        (result["task"]["name"], result["dataset"]["name"], metric["type"], metric["value"])
        for result in entry["results"]
        for metric in result["metrics"]
    ]
    assert ("text to video", "How2Sign", "R@1", 12.5) in metrics
    assert len(metrics) == 10
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| video to text | 12.5 (10.25-15) | 13.5 (10.25-15) |" in text
    assert '"t2v_R@1": 31.0' in text
    assert "## Limits" in text


def test_a_card_without_licence_or_report_claims_neither(tmp_path: Path) -> None:
    save_retrieval_model(tmp_path / "model", make_model())
    export_model(tmp_path / "model", tmp_path / "out")
    found = front_matter(tmp_path / "out")
    assert {"license", "language", "model-index"}.isdisjoint(found)
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "To be filled in by whoever publishes this" in text
    assert text.startswith("---\n# license: to be filled in\n")
    assert "## Evaluation" not in text


@pytest.mark.parametrize("kind", ["retrieval", "sign_encoder"])
def test_the_cards_example_runs(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "retrieval":
        save_retrieval_model(tmp_path / "model", make_model(max_windows=64))
    else:
        save_sign_encoder(tmp_path / "model", SignEncoder(2, MICRO), ["red", "green"])
    export_model(tmp_path / "model", tmp_path / "out")
    code = (tmp_path / "out" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    assert len(code.splitlines()) <= 11
    monkeypatch.chdir(tmp_path / "out")
    names: dict[str, Any] = {}
    exec(code, names)
    if kind == "retrieval":
        assert names["scores"].shape == (1, 2)
    else:
        assert set(names["signs"]) <= {"red", "green"}


def test_unknown_and_missing_formats_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_retrieval_model(tmp_path / "model", make_model())
    with pytest.raises(ValueError, match="in the format onnx or openvino, not 'tflite'"):
        export_model(tmp_path / "model", tmp_path / "out", ["tflite"])  # type: ignore[list-item]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs onnx, .*pip install 'cico-platform\[onnx\]'"):
        export_model(tmp_path / "model", tmp_path / "out", ["onnx"])
    assert not (tmp_path / "out").exists()


def test_places_lose_their_folders_and_words_stay() -> None:
    given = ["s3://bucket/a/b", r"C:\data\b/", "and/or", "3/4", 0.5, None]
    assert portable(given) == ["b", "b", "and/or", "3/4", 0.5, None]
