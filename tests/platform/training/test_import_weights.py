"""Weights of others become checkpoints of the right kind, or are refused in a sentence."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

import cico_model
from cico_model.config import SIGN_ENCODERS
from cico_platform.errors import InputError
from cico_platform.training.import_weights import import_weights


@pytest.fixture
def sign_encoder_file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    encoder = cico_model.SignEncoder(3, SIGN_ENCODERS["tiny"])
    state = {f"module.{name}": value for name, value in encoder.state_dict().items()}
    torch.save({"epoch": 12, "state_dict": state}, tmp_path / "encoder.pth.tar")
    return tmp_path / "encoder.pth.tar"


@pytest.mark.parametrize("text", ["Haus\nBaum\n家\n", '["Haus", "Baum", "家"]'])
def test_a_sign_encoder_keeps_its_signs(sign_encoder_file: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "labels").write_text(text, encoding="utf-8")
    summary = import_weights(sign_encoder_file, tmp_path / "out", tmp_path / "labels")
    assert summary.details["kind"] == "sign_encoder"
    encoder, labels = cico_model.load(tmp_path / "out")  # type: ignore[misc]
    assert labels == ["Haus", "Baum", "家"]
    stored = torch.load(sign_encoder_file, weights_only=True)["state_dict"]
    assert torch.equal(encoder.state_dict()["logits.conv3d.weight"], stored["module.logits.conv3d.weight"])
    (tmp_path / "labels").write_text("Haus\nHaus\n家\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"3 labels \(2 different\); 3 different ones are needed"):
        import_weights(sign_encoder_file, tmp_path / "out", tmp_path / "labels")
    assert cico_model.load_sign_encoder(tmp_path / "out")[1] == ["Haus", "Baum", "家"]


def test_clip_becomes_a_model_to_train(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 1, "num_attention_heads": 1}
    clip = CLIPModel(
        CLIPConfig(
            text_config={**sizes, "vocab_size": 49408},
            vision_config={**sizes, "image_size": 64, "patch_size": 32},
            projection_dim=32,
        )
    )
    save_file({k: v.contiguous() for k, v in clip.state_dict().items()}, tmp_path / "model.safetensors")
    summary = import_weights(tmp_path / "model.safetensors", tmp_path / "out")
    assert summary.details["kind"] == "clip"
    assert summary.details["fresh"] == ["visual.conv1.weight", "visual.positional_embedding"]
    model = cico_model.load_retrieval_model(tmp_path / "out")
    assert torch.equal(model.text.token_embedding.weight, clip.text_model.embeddings.token_embedding.weight)
    valid = torch.ones(2, 5, dtype=torch.bool)
    batch = model.tokenise(["a red house", "trees"])
    loss = model(torch.randn(2, 5, 1024), valid, batch.ids, batch.valid)
    assert torch.isfinite(loss)


def test_what_is_no_known_checkpoint_is_refused(sign_encoder_file: Path, tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="neither a sign encoder nor towers: it holds 'a'"):
        import_weights(tmp_path / "other.safetensors", tmp_path / "out")
    with pytest.raises(InputError, match="no file"):
        import_weights(tmp_path / "missing.pt", tmp_path / "out")
    (tmp_path / "text.pt").write_text("not weights")
    with pytest.raises(InputError, match="read safely"):
        import_weights(tmp_path / "text.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()
