"""Sentences bear out signs that are there, and not those that are mistaken for others."""

import numpy as np

from cico_model.text_support import Detection, text_support

SIGNS = ["house", "tree", "book", "milk", "dog", "car"]
SYNONYMS = {"house": ["house", "home"], "dog": ["dog", "hound"]}


def corpus(seed: int, count: int) -> tuple[list[list[int]], list[str]]:
    """Which signs each video shows, and its text: in another order, with synonyms and function words."""
    rng = np.random.default_rng(seed)
    shown, texts = [], []
    for _ in range(count):
        signs = rng.choice(len(SIGNS), 3, replace=False).tolist()
        words = [str(rng.choice(SYNONYMS.get(SIGNS[s], [SIGNS[s]]))) for s in rng.permutation(signs)]
        shown.append(signs)
        texts.append(f"The {words[0]}, a {words[1]} and the {words[2]}.")
    return shown, texts


def test_true_detections_have_more_support_than_mistaken_ones() -> None:
    shown, texts = corpus(seed=0, count=200)
    rng = np.random.default_rng(1)
    detections, right = [], []
    for video, signs in enumerate(shown):
        for sign in signs:
            mistaken = rng.random() < 0.35
            label = int(rng.integers(len(SIGNS))) if mistaken else sign
            detections.append(Detection(video, label, float(rng.uniform(0.6, 1.0))))
            right.append(label in signs)
    support = np.asarray(text_support(detections, texts))
    truth = np.asarray(right)
    assert 0.6 < truth.mean() < 0.9
    kept = support >= np.median(support)
    assert truth[kept].mean() > 0.97
    assert truth[kept].mean() > truth.mean() + 0.1


def test_support_needs_no_names_in_common_and_no_spaces() -> None:
    texts = ["我看书", "他买书", "书很大", "我喝牛奶", "他喝牛奶", "牛奶很好"]
    detections = [Detection(video, video // 3, 0.9) for video in range(6)]
    assert min(text_support(detections, texts)) > 1.2


def test_an_error_made_in_every_video_of_a_sentence_does_not_bear_itself_out() -> None:
    _, others = corpus(seed=2, count=40)
    repeated = ["A rare sentence about zebras."] * 5
    detections = [Detection(video, 0, 0.9) for video in range(5)]
    once = text_support(detections, repeated + others)
    assert max(once) <= 1.0
    genuine = [Detection(video, 1, 0.9) for video in range(5, 45) if "tree" in others[video - 5]]
    assert min(text_support(genuine, repeated + others)) > 1.5


def test_a_lone_detection_and_an_empty_text_have_none() -> None:
    assert text_support([], []) == []
    assert text_support([Detection(0, 3, 0.9)], ["only one"]) == [0.0]
    found = text_support([Detection(0, 3, 0.9), Detection(1, 3, 0.9)], ["...", "a house"])
    assert found[0] == 0.0
