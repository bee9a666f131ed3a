"""The shipped checkpoints load like any other, are small, and know signers that they have not seen."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import cico_model
from cico_model.checkpoint import load_sign_encoder
from cico_model.clips import window_starts
from cico_model.inference import optimize_for_inference
from cico_model.retrieval_checkpoint import load_retrieval_model
from cico_platform import pretrained
from cico_platform.corpus.manifest import Corpus
from cico_platform.corpus.synthesis import SynthesisSettings, synthesize
from cico_platform.corpus.video import decode_clip
from cico_platform.steps import fingerprint

MIB = 1 << 20
# `scripts/pretrain.sh` draws with seed 1000.
UNSEEN_SEED = 4242


@pytest.mark.parametrize("name", get_args(pretrained.Name))
def test_a_shipped_checkpoint_is_a_small_checkpoint_with_a_model_card(name: pretrained.Name) -> None:
    folder = pretrained.checkpoint(name)
    cico_model.load(folder)
    most = 2 * MIB if name == "retrieval" else 4 * MIB
    assert (folder / "model.safetensors").stat().st_size <= most
    card = (folder / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert not (folder / "step.json").exists()


def test_the_retrieval_model_reads_the_features_of_the_sign_encoders() -> None:
    model = load_retrieval_model(pretrained.checkpoint("retrieval"))
    for name in ("agnostic", "domain_aware"):
        encoder, _ = load_sign_encoder(pretrained.checkpoint(name))
        assert encoder.config.feature_dim == model.config.feature_dim
    assert model.config.window_stride == pretrained.STRIDE
    config = json.loads((pretrained.checkpoint("retrieval") / "config.json").read_text())
    assert config["metadata"]["alpha"] == pretrained.ALPHA


def test_the_agnostic_encoder_knows_the_signs_of_signers_that_it_has_not_seen(
    ray_cluster: None, tmp_path: Path
) -> None:
    synthesize(
        tmp_path / "dictionary",
        SynthesisSettings(seed=UNSEEN_SEED, dictionary_signers=2, train=0, validation=0, test=0),
    )
    corpus = Corpus(tmp_path / "dictionary")
    loaded, labels = load_sign_encoder(pretrained.checkpoint("agnostic"))
    encoder = optimize_for_inference(loaded)
    clips = list(corpus.clips())
    videos = [decode_clip(corpus.resolve(c), crop=c.crop, size=loaded.config.resize).frames for c in clips]
    starts = [window_starts(len(frames)) for frames in videos]
    middle = [[own[len(own) // 2]] for own in starts]
    found = [labels[int(output.logits.argmax())] for output in encoder.encode(videos, middle)]
    assert len(clips) == 2 * len(labels)
    right = np.mean([name == clip.label for name, clip in zip(found, clips, strict=True)])
    assert right >= 0.7  # chance: 0.013


def test_the_retrieval_model_names_the_encoders_beside_it() -> None:
    """Else the features of these encoders would be refused."""
    about = json.loads((pretrained.checkpoint("retrieval") / "config.json").read_text(encoding="utf-8"))
    named = [encoder["id"] for encoder in about["metadata"]["features"]["encoders"]]
    beside = (pretrained.checkpoint("agnostic"), pretrained.checkpoint("domain_aware"))
    assert named == [fingerprint(folder) for folder in beside]
