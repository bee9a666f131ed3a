"""Weights from outside: CLIP's under both namings, and files that are read without running anything."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from cico_model.checkpoint import import_sign_encoder
from cico_model.clip_import import import_clip, is_clip, openai_names
from cico_model.config import SIGN_ENCODERS
from cico_model.sign_encoder import SignEncoder
from cico_model.torchscript import read_archive
from cico_model.weights import read_weights


@pytest.fixture(scope="module")
def clip() -> CLIPModel:
    """CLIP as transformers builds it, with CLIP's vocabulary but narrow and shallow."""
    torch.manual_seed(0)
    common = {"num_hidden_layers": 2, "num_attention_heads": 1, "hidden_size": 64, "intermediate_size": 256}
    text = CLIPTextConfig(vocab_size=49408, max_position_embeddings=77, **common).to_dict()
    vision = CLIPVisionConfig(image_size=64, patch_size=32, **{**common, "hidden_size": 128,
                              "num_attention_heads": 2, "intermediate_size": 512}).to_dict()  # fmt: skip
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=48)).eval()


def test_the_text_tower_says_what_clip_says(clip: CLIPModel) -> None:
    model = import_clip(clip.state_dict(), feature_dim=20, max_windows=9)
    ids = torch.tensor([[49406, 320, 1929, 49407, 0], [49406, 1237, 49407, 0, 0]])
    with torch.no_grad():
        wanted = clip.text_projection(clip.text_model(ids).last_hidden_state)
        found = model.text(ids)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert model.config.context_length == 32
    assert model.config.mask_padding
    assert model.logit_scale.item() == pytest.approx(clip.logit_scale.item())


def test_the_video_towers_blocks_do_what_clips_do(clip: CLIPModel) -> None:
    model = import_clip(clip.state_dict(), feature_dim=20, max_windows=9)
    hidden = torch.randn(2, 5, 128, generator=torch.Generator().manual_seed(1))
    vision = clip.vision_model
    with torch.no_grad():
        encoded = vision.encoder(inputs_embeds=vision.pre_layrnorm(hidden)).last_hidden_state
        wanted = clip.visual_projection(vision.post_layernorm(encoded))
        x = model.video.ln_pre(hidden)
        for block in model.video.blocks:
            x = block(x, None, causal=False)
        found = model.video.ln_post(x) @ model.video.projection
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert model.video(torch.zeros(1, 9, 20), torch.ones(1, 9, dtype=torch.bool)).shape == (1, 10, 48)
    assert torch.equal(model.video.class_embedding, vision.embeddings.class_embedding)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_both_namings_give_the_same_towers(clip: CLIPModel, dtype: torch.dtype) -> None:
    theirs = {name: value.to(dtype) for name, value in clip.state_dict().items()}
    openai = openai_names(theirs)
    assert is_clip(theirs)
    assert is_clip(openai)
    settings = {"input_resolution": torch.tensor(64), "context_length": torch.tensor(77)}
    models = []
    for weights in (theirs, {**openai, **settings, "vocab_size": torch.tensor(49408)}):
        torch.manual_seed(len(models))  # what starts fresh is the same in each import
        models.append(import_clip(weights, feature_dim=20, max_windows=9).state_dict())
    assert models[0].keys() == models[1].keys()
    assert all(value.dtype == torch.float32 for value in models[0].values())
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())


def test_what_is_no_clip_is_refused_by_its_key(clip: CLIPModel) -> None:
    weights = clip.state_dict()
    key = "vision_model.encoder.layers.1.self_attn.k_proj.weight"
    with pytest.raises(ValueError, match=r"resblocks\.1' .*lacks 'self_attn\.k_proj\.weight'"):
        import_clip({name: value for name, value in weights.items() if name != key})
    with pytest.raises(ValueError, match=r"'vision_model\.surplus' is no weight"):
        import_clip({**weights, "vision_model.surplus": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"'visual\.positional_embedding' is missing"):
        import_clip({"visual.conv1.weight": torch.zeros(64, 3, 3, 3)})
    with pytest.raises(ValueError, match=r"'text_projection' of the checkpoint has shape"):
        import_clip({**weights, "text_projection.weight": torch.zeros(7, 3)})


def test_files_are_read_without_running_what_they_hold(tmp_path: Path) -> None:
    tensors = {"module.a": torch.ones(2)}
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save({"epoch": 3, "state_dict": tensors}, tmp_path / "a.pth.tar")
    for name in ("a.safetensors", "a.pth.tar"):
        assert torch.equal(read_weights(tmp_path / name)["a"], torch.ones(2))

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    with (tmp_path / "trap.pt").open("wb") as file:
        pickle.dump({"state_dict": Trap()}, file)
    torch.save({"state_dict": {"a": Trap()}}, tmp_path / "trap2.pt")
    (tmp_path / "text.pt").write_text("not weights")
    (tmp_path / "text.safetensors").write_text("not weights")
    torch.save([1, 2], tmp_path / "list.pt")
    refusals = {"trap.pt": "safely", "trap2.pt": "safely", "text.pt": "safely",
                "text.safetensors": "safely", "list.pt": "list"}  # fmt: skip
    for name, message in refusals.items():
        with pytest.raises(ValueError, match=message):
            read_weights(tmp_path / name)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(FileNotFoundError):
        read_weights(tmp_path / "nothing.pt")


def as_archive(weights: dict[str, Tensor], file: Path) -> None:
    """A TorchScript archive that holds these weights as a model's."""
    root = torch.nn.Module()
    for name, value in weights.items():
        *path, last = name.split(".")
        module = root
        for part in path:
            if part not in dict(module.named_children()):
                module.add_module(part, torch.nn.Module())
            module = module.get_submodule(part)
        if value.is_floating_point():
            module.register_parameter(last, torch.nn.Parameter(value.clone()))
        else:
            module.register_buffer(last, value)
    torch.jit.script(root).save(str(file))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_clip_is_read_from_a_torchscript_archive(clip: CLIPModel, tmp_path: Path, dtype: torch.dtype) -> None:
    weights = {name: value.to(dtype) for name, value in openai_names(clip.state_dict()).items()}
    as_archive({**weights, "context_length": torch.tensor(77)}, tmp_path / "ViT.pt")
    found = read_weights(tmp_path / "ViT.pt")
    assert found.keys() == {*weights, "context_length"}
    assert import_clip(found, feature_dim=20, max_windows=9).config.embed_dim == 48
    for name, value in weights.items():
        assert found[name].dtype == dtype
        assert torch.equal(found[name], value)


class Attributes(torch.nn.Module):
    """A module with what is no weight: a tensor that is an attribute, numbers, a list of them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.BatchNorm1d(3)
        self.register_buffer("counts", torch.arange(4).view(2, 2).T)
        self.shape, self.number, self.attribute = [1, 2], 5, torch.ones(2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x) * self.attribute.sum()
        return y


def test_an_archive_gives_the_state_dict_and_nothing_is_run(tmp_path: Path) -> None:
    module = Attributes().eval()
    for name, archive in (
        ("scripted", torch.jit.script(module)),  # type: ignore[no-untyped-call]
        ("traced", torch.jit.trace(module, torch.ones(2, 3))),  # type: ignore[no-untyped-call]
    ):
        archive.save(str(tmp_path / name))
        found, expected = read_archive(tmp_path / name), module.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())
    with zipfile.ZipFile(tmp_path / "scripted") as source:
        contents = {item: source.read(item) for item in source.namelist()}
    changes = {
        "it would load posix.system; only tensors are read": b"cposix\nsystem\n(X\x04\x00\x00\x00exittR.",
        "it holds a list, not a module": b"].",
    }
    for said, pickled in changes.items():
        with zipfile.ZipFile(tmp_path / "changed.pt", "w") as target:
            for item, content in contents.items():
                target.writestr(item, pickled if item.endswith("/data.pkl") else content)
        with pytest.raises(ValueError, match=said):
            read_weights(tmp_path / "changed.pt")
    with zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as target:
        for item, content in contents.items():
            target.writestr(item, content)
    with pytest.raises(ValueError, match="its tensors are compressed"):
        read_archive(tmp_path / "packed.pt")


def test_a_sign_encoder_is_loaded_whole_or_not_at_all() -> None:
    weights: dict[str, Tensor] = dict(SignEncoder(5, SIGN_ENCODERS["tiny"]).state_dict())
    key = "Mixed_3b.b0.conv3d.weight"
    assert key in weights
    assert import_sign_encoder(weights).num_classes == 5
    with pytest.raises(ValueError, match=f"lacks the weight '{key}'"):
        import_sign_encoder({k: v for k, v in weights.items() if k != key})
    with pytest.raises(ValueError, match=r"'surplus' of the checkpoint has no place"):
        import_sign_encoder({**weights, "surplus": torch.zeros(1)})
    with pytest.raises(ValueError, match=rf"'{key}' of the checkpoint has shape \(2,\)"):
        import_sign_encoder({**weights, key: torch.zeros(2)})
    with pytest.raises(ValueError, match=f"'{key}' of the checkpoint holds values that are not finite"):
        import_sign_encoder({**weights, key: torch.full_like(weights[key], torch.nan)})
    with pytest.raises(ValueError, match=r"lacks the weight 'logits\.conv3d\.bias'"):
        import_sign_encoder({k: v for k, v in weights.items() if k != "logits.conv3d.bias"})
