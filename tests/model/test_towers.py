"""Published checkpoints give the published outputs, or are refused by the key that is wrong."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cico_model.config import TOWERS, TowerConfig
from cico_model.retrieval_checkpoint import import_retrieval_model
from cico_model.tower_import import import_logit_scale, import_towers
from cico_model.towers import TextTower, VideoTower

SMALL = TowerConfig(12, 8, 16, 1, 2, 6, 16, 1, 2, 50, 10)


def published_value(key: str, shape: list[int]) -> Tensor:
    """The rule by which the golden files' weights are made (see their README)."""
    noise = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
    if key.endswith("logit_scale"):
        value = np.float32(math.log(1 / 0.07))
    elif len(shape) <= 1:
        value = 1 + 0.1 * noise if key.endswith("weight") else 0.01 * noise
    else:
        fan = math.prod(shape[1:]) if "conv" in key or key.endswith("weight") else shape[0]
        value = noise / np.sqrt(fan)
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


@pytest.fixture
def published(golden_dir: Path) -> dict[str, Tensor]:
    """A small published checkpoint."""
    shapes = json.loads((golden_dir / "towers_small_state_dict.json").read_text())
    return {key: published_value(key, shape) for key, shape in shapes.items()}


@pytest.mark.parametrize("prefix", ["", "clip.", "module.clip."])
def test_published_tokens_are_reproduced(golden_dir: Path, published: dict[str, Tensor], prefix: str) -> None:
    golden = {k: torch.from_numpy(v) for k, v in np.load(golden_dir / "towers.npz").items()}
    video, text = import_towers({prefix + key: value for key, value in published.items()})
    valid = torch.arange(16)[None] < golden["video_lengths"][:, None]
    with torch.no_grad():
        found = video(golden["video_features"], valid), text(golden["token_ids"])
    assert (found[0] - golden["video_hidden"]).abs().max() <= 1e-4
    assert (found[1] - golden["text_hidden"]).abs().max() <= 1e-4
    assert import_logit_scale(published) == pytest.approx(math.log(1 / 0.07))


def test_both_streams_interleaved_are_mixed_down(published: dict[str, Tensor]) -> None:
    video, _ = import_towers(published)
    features = torch.randn(2, 32, 1024, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(2, 16, dtype=torch.bool)
    mixed = torch.einsum("oi,bic->boc", published["visual.conv2_trans.weight"][:, :, 0, 0], features)
    with torch.no_grad():
        torch.testing.assert_close(video(features, valid), video(mixed, valid), rtol=0, atol=1e-4)


def test_a_wrong_key_is_named(published: dict[str, Tensor]) -> None:
    key = "visual.transformer.resblocks.1.mlp.c_fc.weight"
    missing = {k: v for k, v in published.items() if k != key}
    with pytest.raises(ValueError, match=r"lacks the weight 'visual\.transformer\.resblocks\.1\.mlp\.c_fc"):
        import_towers(missing)
    with pytest.raises(ValueError, match=r"'visual\.surplus' is no weight"):
        import_towers({**published, "visual.surplus": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"'visual\.transformer\.resblocks\.1\.mlp\.c_fc\.weight'.*\(3, 3\)"):
        import_towers({**published, key: torch.zeros(3, 3)})
    with pytest.raises(ValueError, match="'text_projection'"):
        import_towers({k: v for k, v in published.items() if k != "text_projection"})
    with pytest.raises(ValueError, match="'epoch' of the checkpoint is a int"):
        import_towers({**published, "epoch": 3})
    with pytest.raises(ValueError, match="twice"):
        import_towers({**published, "clip." + key: published[key]})


def test_a_published_checkpoint_is_a_whole_model_only_with_its_vocabulary(
    published: dict[str, Tensor],
) -> None:
    with pytest.raises(ValueError, match="the tokenizer has 49408 tokens, the text tower 1000"):
        import_retrieval_model(published)
    width = published["token_embedding.weight"].shape[1]
    published["token_embedding.weight"] = torch.zeros(49408, width)
    published["positional_embedding"] = torch.zeros(77, width)
    model = import_retrieval_model(published)
    assert not model.config.mask_padding
    assert model.encode_text(["hello"]).tokens.shape == (1, 32, 64)
    valid = torch.ones(1, 3, dtype=torch.bool)
    assert model.encode_video(torch.zeros(1, 3, 1024), valid).shape == (1, 17, 64)
    assert model.video_mask(valid).sum() == 3


def test_no_token_attends_to_padding_or_to_the_class_token() -> None:
    torch.manual_seed(0)
    tower = VideoTower(SMALL).eval()
    features = torch.randn(1, 5, 12)
    valid = torch.tensor([[True, True, True, False, False]])
    before = tower(features, valid)
    features[:, 3:] = torch.tensor([math.nan, 1e30])[None, :, None]
    with torch.no_grad():
        tower.class_embedding.normal_(std=3)
    after = tower(features, valid)
    torch.testing.assert_close(after[:, 1:4], before[:, 1:4])
    assert not torch.allclose(after[:, 0], before[:, 0])
    torch.testing.assert_close(tower(features[:, :3], valid[:, :3])[:, 1:], before[:, 1:4])


def test_a_text_token_sees_only_those_before_it() -> None:
    torch.manual_seed(0)
    tower = TextTower(SMALL).eval()
    ids = torch.tensor([[1, 5, 9, 2]])
    changed = torch.tensor([[1, 5, 7, 2]])
    torch.testing.assert_close(tower(ids)[:, :2], tower(changed)[:, :2])
    assert not torch.allclose(tower(ids)[:, 2:], tower(changed)[:, 2:])


def test_what_a_tower_cannot_take_is_refused() -> None:
    video, text = VideoTower(SMALL), TextTower(SMALL)
    valid = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"features \[B, T, 12\], not \(2, 3, 11\)"):
        video(torch.zeros(2, 3, 11), valid)
    with pytest.raises(ValueError, match="7 windows, the tower takes 6"):
        video(torch.zeros(2, 7, 12), torch.ones(2, 7, dtype=torch.bool))
    broken = torch.zeros(2, 3, 12)
    broken[1, 2, 5] = math.nan
    with pytest.raises(ValueError, match="row 1 holds a value that is not finite, at position 2"):
        video(
            torch.zeros(2, 3, 12).index_put((torch.tensor(1), torch.tensor(2)), torch.tensor(math.nan)), valid
        )
    valid[0] = False
    with pytest.raises(ValueError, match="row 0 has no valid token"):
        video(torch.zeros(2, 3, 12), valid)
    with pytest.raises(ValueError, match="token ids"):
        text(torch.zeros(1, 11, dtype=torch.int64))
    with pytest.raises(ValueError, match="outside of the vocabulary of 50"):
        text(torch.tensor([[50]]))


def test_the_paper_size_is_the_published_one() -> None:
    with torch.device("meta"):
        video, text = VideoTower(TOWERS["paper"]), TextTower(TOWERS["paper"])
    assert video.positions.shape == (65, 768)
    assert len(video.blocks) == len(text.blocks) == 12
    assert text.token_embedding.weight.shape == (49408, 512)
    assert (video.config.video_heads, text.config.text_heads) == (12, 8)


def test_a_tower_that_standardises_its_input_does_as_if_it_were_standardised() -> None:
    torch.manual_seed(0)
    config = TowerConfig(
        feature_dim=6, embed_dim=8, video_width=16, video_layers=1, video_heads=2, max_windows=5
    )
    plain, standardising = VideoTower(config).eval(), VideoTower(config).eval()
    standardising.load_state_dict(plain.state_dict())
    features, valid = 3 + 0.1 * torch.rand(4, 5, 6), torch.ones(4, 5, dtype=torch.bool)
    mean, deviation = features.mean(dim=(0, 1)), features.std(dim=(0, 1))
    standardising.standardise_input(mean, deviation)
    with torch.no_grad():
        expected = plain((features - mean) / deviation, valid)[:, 1:]
        found = standardising(features, valid)[:, 1:]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
