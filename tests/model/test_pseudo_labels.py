"""Confident windows merge into segments as the method says, and as published behind an option."""

import pytest

from cico_model.pseudo_labels import Segment, merge_windows


def test_windows_at_or_below_the_threshold_are_not_kept() -> None:
    assert merge_windows([0, 40], [0.6, 0.59], [1, 1]) == []


def test_near_windows_extend_farther_ones_are_dropped_far_ones_open() -> None:
    segments = merge_windows([10, 13, 20, 34, 60], [0.99, 0.8, 0.7, 0.7, 0.9], [2] * 5)
    assert segments == [Segment(2, 10, 29, 0.99), Segment(2, 60, 76, 0.9)]


def test_classes_do_not_touch_each_other() -> None:
    segments = merge_windows([10, 11], [0.9, 0.8], [1, 2])
    assert [(s.label, s.start, s.end) for s in segments] == [(1, 10, 26), (2, 11, 27)]


def test_the_order_of_the_windows_does_not_matter() -> None:
    starts, scores, labels = [60, 13, 10, 20], [0.9, 0.8, 0.99, 0.7], [2] * 4
    turned = merge_windows(starts[::-1], scores[::-1], labels[::-1])
    assert merge_windows(starts, scores, labels) == turned


def test_the_published_code_extends_the_first_segment_whichever_is_near() -> None:
    rows = ([10, 60, 62], [0.99, 0.9, 0.8], [1, 1, 1])
    ours = merge_windows(*rows)
    published = merge_windows(*rows, extend="first")
    assert [(s.start, s.end) for s in ours] == [(10, 26), (60, 78)]
    assert [(s.start, s.end) for s in published] == [(10, 78), (60, 76)]


def test_sequences_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        merge_windows([1, 2], [0.9], [1, 1])
