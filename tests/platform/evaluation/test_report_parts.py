"""Parts of the report: groups, ranks in steps, published numbers, the best and worst queries, the picture."""

import base64
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cico_model.metrics import retrieval_ranks, summarise_ranks
from cico_platform.corpus.manifest import Clip
from cico_platform.evaluation.breakdown import breakdown, rank_summary, wilson
from cico_platform.evaluation.figures import block_means, cividis, similarity_picture
from cico_platform.evaluation.published import published
from cico_platform.evaluation.queries import best_and_worst
from cico_platform.evaluation.report import as_csv, as_latex
from cico_platform.training.data.feature_rows import MemoryRows
from cico_platform.training.pairs import Pairs


def pairs(owners: list[int], texts: list[str] | None = None) -> Pairs:
    texts = texts or [f"text {number}" for number in range(max(owners) + 1)]
    return Pairs(
        [f"v{i}" for i in range(len(owners))],
        MemoryRows([np.ones((1, 2), np.float16)] * len(owners)),
        texts,
        np.array(owners),
    )


def clips(count: int, **fields: list[str | None]) -> list[Clip]:
    return [
        Clip(f"v{i}", "t", "test", f"{i}.mp4", "text", "Text", **{k: v[i] for k, v in fields.items()})  # type: ignore[arg-type]
        for i in range(count)
    ]


def test_the_steps_of_ranks_add_up_to_the_recalls() -> None:
    rng = np.random.default_rng(0)
    ranks = rng.integers(1, 700, 500) / 2 + 0.5
    found = rank_summary(ranks, 642)
    sums = {
        step["to"]: sum(s["count"] for s in found["steps"] if s["to"] <= step["to"])
        for step in found["steps"]
    }
    recalls = summarise_ranks(ranks)
    assert [100 * sums[k] / 500 for k in (1, 5, 10)] == [recalls[f"R@{k}"] for k in (1, 5, 10)]
    assert sums[642] == 500
    assert [s["to"] for s in rank_summary(np.array([1.0]), 1)["steps"]] == [1]


def test_wilson_is_the_interval_that_the_score_test_does_not_reject() -> None:
    low, high = (v / 100 for v in wilson(3, 20))
    for bound in (low, high):
        assert abs(3 / 20 - bound) / np.sqrt(bound * (1 - bound) / 20) == pytest.approx(1.96, abs=2e-3)


def test_groups_hold_every_query_and_what_is_unknown_has_its_own() -> None:
    owners = [0, 0, 1, 2]
    texts = ["one two", "one two three", "one two three four five"]
    signers = ["Ada", "Bo", "Ada", None]
    ranks = {"t2v": np.array([1.0, 2.0, 1.0]), "v2t": np.array([1.0, 3.0, 1.0, 1.5])}
    found = breakdown(ranks, pairs(owners, texts), clips(4, signer=signers))
    by_signer = {group["name"]: group for group in found["signer"]["groups"]}
    assert list(by_signer) == ["Ada", "Bo", "several", "unknown"]
    assert by_signer["Ada"]["v2t"] == {"queries": 2, "R@1": 100.0, "interval": wilson(2, 2)}
    assert by_signer["Bo"]["v2t"]["R@1"] == 0.0
    assert by_signer["Bo"]["t2v"] == {"queries": 0, "R@1": None, "interval": None}
    assert by_signer["several"]["t2v"]["queries"] == 1
    assert by_signer["unknown"]["v2t"]["R@1"] == 0.0
    assert [group["name"] for group in found["length"]["groups"]] == ["2", "3", "5"]
    assert found["language"] == {"groups": [], "note": "the language of every query is unknown"}
    for way, count in (("t2v", 3), ("v2t", 4)):
        assert sum(group[way]["queries"] for group in found["length"]["groups"]) == count


def phoenix(texts: int, videos: int, sign_language: str = "gsg") -> tuple[Pairs, list[Clip]]:
    owners = [min(i, texts - 1) for i in range(videos)]
    return pairs(owners), clips(videos, sign_language=[sign_language] * videos)


def test_published_numbers_are_shown_on_their_own_test_split_alone() -> None:
    info = {"format": "phoenix2014t"}
    (row,) = published(info, "test", *phoenix(642, 642))["rows"]
    assert (row["t2v"]["R@1"], row["v2t"]["R@1"]) == (69.5, 70.2)
    assert published({"format": "cico"}, "test", *phoenix(642, 642))["rows"] == [row]
    others = [
        (info, "validation", phoenix(642, 642)),
        (info, "test", phoenix(641, 642)),
        (info, "test", phoenix(642, 643)),
        ({"format": "labels"}, "test", phoenix(642, 642)),
        ({"format": "cico"}, "test", phoenix(642, 642, "bfi")),
        ({}, "test", phoenix(642, 642)),
    ]
    for told, split, made in others:
        found = published(told, split, *made)
        assert found["rows"] == []
        assert found["note"]


def test_the_best_and_the_worst_are_told_with_what_came_instead() -> None:
    # Text 0 has two videos, of which the second answers best.
    scores = np.array([[0.2, 0.1, 0.0], [0.9, 0.3, 0.0], [0.8, 0.4, 0.1], [0.1, 0.5, 0.3]])
    made = pairs([0, 0, 1, 2])
    ranks = retrieval_ranks(scores, [0, 0, 1, 2])
    found = best_and_worst(scores, ranks, made)
    best = found["best"]["t2v"][0]
    assert best["query"] == {"video_id": None, "text": "text 2"}
    assert (best["rank"], best["score"], best["margin"]) == (1.0, 0.3, 0.2)
    second = found["best"]["t2v"][1]
    assert second["answer"] == {"video_id": "v1", "text": "text 0", "score": 0.9}
    assert second["instead"] == {"video_id": "v2", "text": "text 1", "score": 0.8}
    (worst,) = found["worst"]["t2v"]
    assert (worst["query"]["text"], worst["rank"]) == ("text 1", 2.0)
    assert worst["instead"] == {"video_id": "v3", "text": "text 2", "score": 0.5}
    assert [row["query"]["video_id"] for row in found["best"]["v2t"]] == ["v1", "v0"]
    assert [row["query"]["video_id"] for row in found["worst"]["v2t"]] == ["v2", "v3"]
    assert found["worst"]["v2t"][0]["instead"] == {"video_id": "v1", "text": "text 0", "score": 0.8}
    assert found["worst"]["v2t"][0]["margin"] == -0.4


def test_one_pair_has_nothing_that_came_instead() -> None:
    scores = np.array([[0.5]])
    found = best_and_worst(scores, retrieval_ranks(scores, [0]), pairs([0]))
    assert found["worst"] == {"t2v": [], "v2t": []}
    assert found["best"]["t2v"][0]["instead"] is None
    assert found["best"]["v2t"][0]["margin"] is None


def test_the_picture_has_the_right_answers_on_its_diagonal() -> None:
    owners = np.random.default_rng(0).permutation(40)
    scores = np.zeros((40, 40), np.float32)
    scores[np.arange(40), owners] = 1.0
    picture = similarity_picture(scores, owners)
    image = Image.open(BytesIO(base64.b64decode(picture.uri.split(",")[1]))).convert("RGB")
    seen = np.asarray(image)
    assert seen.shape == (40, 40, 3)
    dark, light = cividis()[0], cividis()[-1]
    np.testing.assert_array_equal(seen[np.arange(40), np.arange(40)], np.tile(light, (40, 1)))
    np.testing.assert_array_equal(seen[0, 1:], np.tile(dark, (39, 1)))
    assert (picture.right_mean, picture.other_mean) == (1.0, 0.0)


def test_a_large_matrix_is_shown_by_the_means_of_its_blocks() -> None:
    scores = np.random.default_rng(0).normal(size=(1100, 700))
    order = np.arange(1100)[::-1]
    small = block_means(scores, order, 512)
    assert small.shape == (512, 512)
    rows, columns = (np.linspace(0, n, 513).astype(int) for n in (1100, 700))
    i, j = 300, 511
    block = scores[order][rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
    assert small[i, j] == pytest.approx(block.mean())


def test_the_colours_grow_lighter_all_the_way() -> None:
    """So that they are told apart without colour vision, and in print."""
    linear = np.where(
        cividis() / 255 <= 0.04045, cividis() / 255 / 12.92, ((cividis() / 255 + 0.055) / 1.055) ** 2.4
    )
    assert (np.diff(linear @ [0.2126, 0.7152, 0.0722]) > 0).all()


def test_the_main_table_can_be_taken_into_a_paper() -> None:
    metrics = {"R@1": 56.62, "R@5": 70.0, "R@10": 80.0, "MedR": 2.5, "MeanR": 9.01}
    report: dict[str, Any] = {
        "t2v": metrics,
        "v2t": metrics,
        "intervals": {way: {n: [v - 1, v + 1] for n, v in metrics.items()} for way in ("t2v", "v2t")},
    }
    assert as_csv(report).splitlines()[1] == f"t2v,R@1,56.62,{56.62 - 1},{56.62 + 1}"
    latex = as_latex(report)
    assert r"Text to video & 56.6 & 70.0 & 80.0 & 2.5 & 9.0 \\" in latex
    assert "[55.6--57.6]" in latex
    assert latex.count(r"\\") == 5
    report["gains"] = {way: {"DCG@10": 61.25, "interval": [60.1, 62.4]} for way in ("t2v", "v2t")}
    assert as_csv(report).splitlines()[6] == "t2v,DCG@10,61.25,60.1,62.4"
    assert r"Text to video & 56.6 & 70.0 & 80.0 & 2.5 & 9.0 & 61.2 \\" in as_latex(report)
