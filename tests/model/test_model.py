"""The retrieval model learns, is saved and loaded without change, and a damaged checkpoint is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cico_model.config import SIGN_ENCODERS, TOWERS, TowerConfig
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import load, load_retrieval_model, save_retrieval_model
from cico_model.text import CorpusTokenizer

TEXTS = ["the cat sleeps", "a dog eats", "birds fly south", "we swim at night"]
CONFIG = replace(TOWERS["tiny"], feature_dim=16, video_width=32, text_width=32, embed_dim=16)


@pytest.fixture(scope="module")
def tokenizer() -> CorpusTokenizer:
    return CorpusTokenizer.train(TEXTS * 2)


def make_batch() -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.randn(4, 9, 16, generator=torch.Generator().manual_seed(1))
    return features, torch.arange(9)[None] < torch.tensor([9, 4, 6, 1])[:, None]


@pytest.mark.parametrize("pooling", ["fine", "mean", "class"])
def test_a_small_batch_is_learned_by_heart(tokenizer: CorpusTokenizer, pooling: str) -> None:
    torch.manual_seed(0)
    model = RetrievalModel(replace(CONFIG, pooling=pooling), tokenizer)
    features, valid = make_batch()
    batch, augmented = model.tokenise(TEXTS), model.tokenise([" ".join(t.split()[::-1]) for t in TEXTS])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        model(features, valid, batch.ids, batch.valid, augmented.ids, augmented.valid).backward()
        optimizer.step()
        model.clamp_logit_scale()
    model.eval()
    text = model.encode_text(TEXTS)
    scores = model.scores(
        model.encode_video(features, valid), text.tokens, model.video_mask(valid), text.valid
    )
    assert scores.argmax(0).tolist() == scores.argmax(1).tolist() == [0, 1, 2, 3]
    assert model.logit_scale.item() <= 4.6052


def test_class_pooling_compares_the_class_token_with_the_end_of_the_text(tokenizer: CorpusTokenizer) -> None:
    model = RetrievalModel(replace(CONFIG, pooling="class"), tokenizer).eval()
    features, valid = make_batch()
    video, text = model.encode_video(features, valid), model.encode_text(TEXTS)
    ends = torch.stack([text.tokens[row, int(mask.sum()) - 1] for row, mask in enumerate(text.valid)])
    expected = torch.cosine_similarity(video[:, None, 0], ends[None], dim=-1)
    scores = model.scores(video, text.tokens, model.video_mask(valid), text.valid)
    torch.testing.assert_close(scores, expected)
    batch = model.tokenise(TEXTS)
    loss = model(features, valid, batch.ids, batch.valid)
    scaled = expected * model.logit_scale.exp()
    target = torch.arange(4)
    both = [torch.nn.functional.cross_entropy(logits, target) for logits in (scaled, scaled.T)]
    torch.testing.assert_close(loss, (both[0] + both[1]) / 2)


@pytest.mark.parametrize("mask_padding", [True, False])
def test_a_saved_model_says_the_same(tokenizer: CorpusTokenizer, tmp_path: Path, mask_padding: bool) -> None:
    model = RetrievalModel(replace(CONFIG, mask_padding=mask_padding), tokenizer).eval()
    save_retrieval_model(tmp_path, model, {"epoch": 3})
    loaded = load_retrieval_model(tmp_path)
    features, valid = make_batch()
    assert torch.equal(loaded.encode_video(features, valid), model.encode_video(features, valid))
    one, other = loaded.encode_text(TEXTS), model.encode_text(TEXTS)
    assert torch.equal(one.tokens, other.tokens)
    assert one.words == other.words
    assert loaded.config == model.config
    assert not loaded.training
    assert all(p.requires_grad for p in loaded.parameters())
    assert json.loads((tmp_path / "config.json").read_text())["metadata"] == {"epoch": 3}
    assert isinstance(load(tmp_path), RetrievalModel)


def test_a_batch_does_not_change_what_a_text_or_a_video_says(tokenizer: CorpusTokenizer) -> None:
    model = RetrievalModel(CONFIG, tokenizer).eval()
    features, valid = make_batch()
    together = model.encode_video(features, valid)
    alone = model.encode_video(features[1:2, :4], valid[1:2, :4])
    torch.testing.assert_close(together[1:2, 1:5], alone[:, 1:])
    texts, one = model.encode_text(TEXTS), model.encode_text(TEXTS[:1])
    torch.testing.assert_close(texts.tokens[:1, : one.tokens.shape[1]], one.tokens)


def test_a_damaged_checkpoint_is_refused_by_key(tokenizer: CorpusTokenizer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a checkpoint"):
        load_retrieval_model(tmp_path)
    save_retrieval_model(tmp_path, RetrievalModel(CONFIG, tokenizer))
    weights = load_file(tmp_path / "model.safetensors")
    for change, message in (
        ({"video.positions": torch.zeros(2, 2)}, r"'video\.positions' of the checkpoint has shape \(2, 2\)"),
        ({"surplus": torch.zeros(1)}, "'surplus' of the checkpoint has no place"),
        ({"logit_scale": None}, "lacks the weight 'logit_scale'"),
    ):
        changed = {k: v for k, v in {**weights, **change}.items() if v is not None}
        save_file(changed, tmp_path / "model.safetensors")
        with pytest.raises(ValueError, match=message):
            load_retrieval_model(tmp_path)
    description = json.loads((tmp_path / "config.json").read_text())
    description["config"]["colour"] = "red"
    (tmp_path / "config.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="settings that this version doesn't know: colour"):
        load_retrieval_model(tmp_path)


@pytest.mark.parametrize("size", ["tiny", "small", "paper"])
def test_each_size_reads_the_features_of_its_sign_encoder(size: str) -> None:
    assert isinstance(TOWERS[size], TowerConfig)
    assert TOWERS[size].feature_dim == SIGN_ENCODERS[size].feature_dim
