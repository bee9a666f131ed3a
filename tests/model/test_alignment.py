"""A word's span is where the signs that answer it are."""

import numpy as np
import pytest
import torch

from cico_model.alignment import align, window_times, word_map, word_spans
from cico_model.text import CorpusTokenizer


def test_each_word_attends_to_its_own_sign() -> None:
    signs = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))[0]
    video = torch.cat([torch.randn(1, 8), signs[:6]])[None]
    text = signs[[4, 1, 2]][None]
    video_valid = torch.ones(1, 7, dtype=torch.bool)
    video_valid[0, [0, 6]] = False
    text_valid = torch.tensor([[True, True, False]])
    weights = align(video, text, video_valid, text_valid)
    assert weights.shape == (1, 3, 7)
    assert weights[0, :2].argmax(dim=1).tolist() == [5, 2]
    torch.testing.assert_close(weights.sum(-1), torch.tensor([[1.0, 1.0, 0.0]]))
    assert (weights[:, :, [0, 6]] == 0).all()
    assert torch.equal(align(video[0], text[0], video_valid[0], text_valid[0]), weights[0])


def test_spans_run_around_the_peak_and_merge_a_words_tokens() -> None:
    # 25 frames a second, a window a frame apart; "sleeps" has two tokens that peak in neighbouring windows.
    times = window_times(list(range(20)), fps=25.0, offset=2.0)
    weights = np.zeros((5, 21))
    weights[1, 1 + 3 : 1 + 7] = [0.1, 0.4, 0.4, 0.1]
    weights[2, 1 + 12] = weights[3, 1 + 13] = 1.0
    spans = word_spans(weights, [("cat", [1]), ("sleeps", [2, 3]), ("lost", [])], times)
    assert [span.word for span in spans] == ["cat", "sleeps"]
    cat, sleeps = spans
    # Middles of windows 4 and 5 are at frames 12 and 13, a quarter of a window is 4 frames.
    assert cat.start == pytest.approx(2 + 8 / 25)
    assert cat.end == pytest.approx(2 + 17 / 25)
    assert cat.weight == pytest.approx(0.8)
    assert sleeps.start == pytest.approx(2 + 16 / 25)
    assert sleeps.end == pytest.approx(2 + 25 / 25)
    assert sleeps.weight == pytest.approx(1.0)


def test_start_and_end_tokens_and_punctuation_have_no_span() -> None:
    batch = CorpusTokenizer.train(["the cat sleeps"]).encode(["The cat, sleeps!"])
    used = sorted(p for word in batch.words[0] for p in word.positions)
    assert [word.text for word in batch.words[0]] == ["the", "cat", "sleeps"]
    last = int(batch.valid[0].sum()) - 1
    assert 0 not in used
    assert last not in used
    assert len(used) < last - 1  # the comma and the exclamation mark are in no word


def test_what_cannot_be_aligned_is_refused() -> None:
    ones = torch.ones(2, 3, 4)
    valid = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match="not pairs: 2 videos and 1 texts"):
        align(ones, ones[:1], valid, valid[:1])
    with pytest.raises(ValueError, match="3 windows are needed"):
        word_spans(np.zeros((2, 2)), [("cat", [1])], [(0, 1)] * 3)
    with pytest.raises(ValueError, match="'cat' has a token at 7"):
        word_spans(np.zeros((2, 3)), [("cat", [7])], [(0, 1)] * 3)
    with pytest.raises(ValueError, match="frame rate"):
        window_times([0], fps=0)


def test_a_word_map_is_the_similaritys_softmax_both_ways() -> None:
    generator = np.random.default_rng(0)
    video, text = generator.normal(size=(5, 8)), generator.normal(size=(4, 8))
    words = [("one", [1, 2]), ("cut", []), ("two", [3])]
    found = word_map(video, text, words, temperature=0.2)
    cosine = (text / np.linalg.norm(text, axis=1, keepdims=True)) @ (
        video / np.linalg.norm(video, axis=1, keepdims=True)
    ).T
    over_windows = np.exp(cosine / 0.2) / np.exp(cosine / 0.2).sum(axis=1, keepdims=True)
    over_tokens = np.exp(cosine / 0.2) / np.exp(cosine / 0.2).sum(axis=0, keepdims=True)
    assert found.words == ["one", "two"]
    np.testing.assert_allclose(found.text_to_video, [over_windows[1:3].mean(0), over_windows[3]], rtol=1e-4)
    np.testing.assert_allclose(found.video_to_text.T, [over_tokens[1:3].sum(0), over_tokens[3]], rtol=1e-4)
