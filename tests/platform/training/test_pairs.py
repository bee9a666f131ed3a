"""Batches hold each video once and no text twice; workers share them whole."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cico_platform.corpus.manifest import Clip, write_manifest
from cico_platform.errors import InputError
from cico_platform.pipelines.stored_features import Features
from cico_platform.training.pairs import epoch_batches, load_pairs
from cico_platform.training.session import Worker


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 99))
@settings(deadline=None)
def test_an_epoch_shows_every_video_once_and_no_text_twice_in_a_batch(
    owners: list[int], size: int, seed: int
) -> None:
    batches = epoch_batches(owners, size, np.random.default_rng(seed))
    assert sorted(video for batch in batches for video in batch) == list(range(len(owners)))
    for batch in batches:
        assert 1 <= len(batch) <= size
        assert len({owners[video] for video in batch}) == len(batch)


def test_batches_follow_from_the_seed_alone() -> None:
    owners = list(range(30))
    first, again, other = (epoch_batches(owners, 8, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@given(st.integers(0, 40), st.integers(1, 7))
def test_workers_share_a_batch_in_order_and_evenly(size: int, count: int) -> None:
    shares = [Worker(rank, count, torch.device("cpu")).share(list(range(size))) for rank in range(count)]
    assert [video for share in shares for video in share] == list(range(size))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_clip_whose_text_nobody_sees_is_named(tmp_path: Path) -> None:
    texts = {"a": "the boy reads", "b": "&nbsp;"}
    write_manifest(tmp_path, [Clip(n, f"t{n}", "train", f"{n}.mp4", t, t) for n, t in texts.items()])
    starts, values = [np.arange(2, dtype=np.int32)] * 2, [np.ones((2, 4), np.float16)] * 2
    features = Features(["a", "b"], starts, values, 4, 1.0, [np.empty((0, 2))] * 2)
    with pytest.raises(InputError, match="clip 'b': the text is empty"):
        load_pairs(tmp_path, features, "train")
