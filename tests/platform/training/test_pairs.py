"""Pairs are those of the manifest that have features, in its order; workers share a batch whole."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sign_features import write_features

from cico_platform.corpus.manifest import Clip, write_manifest
from cico_platform.errors import InputError
from cico_platform.pipelines.stored_features import Features, load_features
from cico_platform.training.data.feature_source import FeatureSource, describe_source
from cico_platform.training.pairs import PairSource, load_pairs
from cico_platform.training.workers import Worker


@given(st.integers(0, 40), st.integers(1, 7))
def test_workers_share_a_batch_in_order_and_evenly(size: int, count: int) -> None:
    shares = [Worker(rank, count, torch.device("cpu")).share(list(range(size))) for rank in range(count)]
    assert [video for share in shares for video in share] == list(range(size))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def clip(name: str, text_id: str, text: str, split: str = "train", label: str | None = None) -> Clip:
    return Clip(name, text_id, split, f"{name}.mp4", text, text.capitalize(), label=label)  # type: ignore[arg-type]


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Path]:
    """A corpus of three sentences by four clips, and features of all but one of them."""
    clips = [
        clip("z", "t1", "red green"),
        clip("other", "t9", "white", "test"),
        clip("a", "t2", "blue"),
        clip("sign", "t8", "blue", label="blue"),
        clip("m", "t1", "red green again"),
        clip("lacking", "t3", "green"),
        clip("b", "t2", "blue too"),
    ]
    corpus = tmp_path / "corpus"
    write_manifest(corpus, [c for c in clips if c.video_id != "lacking"])
    signs = [c for c in clips if c.text in ("red green", "white", "blue")]
    write_manifest(corpus, [*signs, clip("m", "t1", "red"), clip("b", "t2", "blue")])
    features = write_features(corpus, tmp_path / "features", {"good": 0.1})
    write_manifest(corpus, clips)
    return corpus, features


def test_pairs_are_the_split_s_sentences_with_features_in_the_manifest_s_order(
    small: tuple[Path, Path],
) -> None:
    corpus, features = small
    pairs = load_pairs(corpus, features, "train")
    assert list(pairs.video_ids) == ["z", "a", "m", "b"]
    # A sentence says what its first clip says.
    assert list(pairs.texts) == ["red green", "blue"]
    assert pairs.texts[1] == "blue"
    assert pairs.texts[0:2] == ["red green", "blue"]
    assert pairs.text_of_video.tolist() == [0, 1, 0, 1]
    read = load_features(features)
    for number, name in enumerate(pairs.video_ids):
        np.testing.assert_array_equal(pairs.features[number], read.values[read.video_ids.index(name)])


def test_pairs_from_memory_from_a_store_and_on_another_worker_are_the_same(small: tuple[Path, Path]) -> None:
    corpus, features = small
    stored = load_pairs(corpus, features, "train")
    loaded = load_pairs(corpus, load_features(features), "train")
    sent = PairSource(str(corpus), describe_source(features), "train").open()
    for other in (loaded, sent):
        assert list(other.video_ids) == list(stored.video_ids)
        assert list(other.texts) == list(stored.texts)
        assert other.text_of_video.tolist() == stored.text_of_video.tolist()
        for left, right in zip(
            other.features.batch([2, 0, 3]), stored.features.batch([2, 0, 3]), strict=True
        ):
            assert torch.equal(left, right)


def test_some_of_the_pairs_keep_their_texts(small: tuple[Path, Path]) -> None:
    pairs = load_pairs(*small, "train")
    some = pairs.take([3, 2])
    assert list(some.video_ids) == ["b", "m"]
    assert [some.texts[text] for text in some.text_of_video] == ["blue", "red green"]
    np.testing.assert_array_equal(some.features[0], pairs.features[3])


def test_a_split_without_features_is_refused(small: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match=r"no clip of .* in split 'validation' has features"):
        load_pairs(*small, "validation")


def test_features_that_changed_since_a_training_began_are_refused(small: tuple[Path, Path]) -> None:
    _, features = small
    source = describe_source(features)
    (features / "part-00001.parquet").write_bytes((features / "part-00000.parquet").read_bytes())
    with pytest.raises(InputError, match="has changed since"):
        source.open()
    with pytest.raises(InputError, match="on a disk that all nodes see"):
        FeatureSource(str(features.parent / "nowhere"), "key").open()


@pytest.mark.parametrize("unseen", ["&nbsp;", "\u3164", "\u200b \u00ad", "&#8203;"])
def test_a_clip_whose_text_nobody_sees_is_named(tmp_path: Path, unseen: str) -> None:
    texts = {"a": "the boy reads", "b": unseen, "c": "tom &amp; i", "d": "?"}
    write_manifest(tmp_path, [Clip(n, f"t{n}", "train", f"{n}.mp4", t, t) for n, t in texts.items()])
    starts, values = [np.arange(2, dtype=np.int32)] * 4, [np.ones((2, 4), np.float16)] * 4
    features = Features(list(texts), starts, values, 4, 1.0, [np.zeros((0, 2))] * 4)
    with pytest.raises(InputError, match="clip 'b': the text is empty"):
        load_pairs(tmp_path, features, "train")
