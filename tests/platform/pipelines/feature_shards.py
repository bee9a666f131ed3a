"""Folders of features, compared shard by shard."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from cico_platform.pipelines.stored_features import load_features
from cico_platform.steps import Summary


def videos_of(shard: Path) -> list[str]:
    names: list[str] = pq.read_table(shard, columns=["video_id"])["video_id"].to_pylist()
    return names


def assert_same(out: Path, undisturbed: Path, summary: Summary) -> None:
    """The folder holds the undisturbed run's features, each video once for each encoder."""
    ids = Counter(
        (row["video_id"], row["encoder_id"])
        for shard in out.glob("part-*.parquet")
        for row in pq.read_table(shard, columns=["video_id", "encoder_id"]).to_pylist()
    )
    assert set(ids.values()) == {1}
    assert len(ids) == 2 * summary.done
    ours, theirs = load_features(out), load_features(undisturbed)
    assert ours.video_ids == theirs.video_ids
    for one, other in zip(ours.values, theirs.values, strict=True):
        np.testing.assert_array_equal(one, other)
