"""Texts become the published tokens, lose nothing, and find back to their words."""

import itertools
import json
import pickle
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from instant_clip_tokenizer import Tokenizer

from cico_model.byte_pairs import PIECES
from cico_model.text import (
    ClipTokenizer,
    CorpusTokenizer,
    TextTokenizer,
    augment_text,
    clean_text,
    clip_backend,
    clip_spans,
    find_words,
    load_tokenizer,
    truncate,
)

TEXTS = ["The cat sleeps on the mat.", "Morgen regnet es im Norden", "a dog doesn't sleep"] * 3


@pytest.fixture(scope="module")
def corpus_tokenizer() -> CorpusTokenizer:
    return CorpusTokenizer.train(TEXTS, vocab_size=600)


def test_clip_tokens_are_the_published_ones() -> None:
    batch = ClipTokenizer().encode(["A photo of a cat", "hello   WORLD &amp;amp; co"])
    assert batch.ids.tolist() == [
        [49406, 320, 1125, 539, 320, 2368, 49407],
        [49406, 3306, 1002, 261, 1320, 49407, 0],
    ]
    assert batch.valid.sum(1).tolist() == [7, 6]


# Characters of the newest Unicode are letters to one library and not yet to another.
LETTERS = st.characters(max_codepoint=0xFFFF, exclude_categories=("Cn", "Cs", "Co"))


@settings(max_examples=100, deadline=None)
@given(text=st.text(LETTERS | st.sampled_from("😀🤟🏽'’"), max_size=40))
def test_cutting_a_text_into_pieces_first_changes_no_clip_token(text: str) -> None:
    whole = Tokenizer().encode(clean_text(text))
    if not whole:
        with pytest.raises(ValueError, match="text 0 is empty"):
            ClipTokenizer().encode([text])
        return
    batch = ClipTokenizer().encode([text], context_length=2000)
    assert batch.ids[0, 1:-1].tolist() == whole


def test_a_long_text_keeps_start_end_and_an_even_spread() -> None:
    assert len(truncate(31, 32)) == 30
    assert truncate(31, 32) == [int(i) for i in np.linspace(1, 31, 30, dtype=int) - 1]
    batch = ClipTokenizer().encode([" ".join(f"{chr(97 + i % 26)}" for i in range(60))])
    assert batch.ids.shape == (1, 32)
    assert (batch.ids[0, 0], batch.ids[0, -1]) == (49406, 49407)
    kept = [word for word in batch.words[0] if word.positions]
    assert len(batch.words[0]) == 60
    assert len(kept) == 30


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=30))
def test_the_corpus_tokenizer_loses_nothing(corpus_tokenizer: CorpusTokenizer, text: str) -> None:
    cleaned = clean_text(text)
    if not cleaned:
        with pytest.raises(ValueError, match="text 0 is empty"):
            corpus_tokenizer.encode([text])
        return
    batch = corpus_tokenizer.encode([text], context_length=2000)
    assert (batch.ids[0, 1:-1] > 2).all()
    kept = unicodedata.normalize("NFC", cleaned).lower()
    assert corpus_tokenizer.decode(batch.ids[0]).replace(" ", "") == "".join(kept.split())


def test_known_words_are_one_token_and_unseen_ones_more(corpus_tokenizer: CorpusTokenizer) -> None:
    batch = corpus_tokenizer.encode(["The cat zigzags"])
    counts = {word.text: len(word.positions) for word in batch.words[0]}
    assert counts["the"] == counts["cat"] == 1
    assert counts["zigzags"] > 1
    assert batch.ids[0, 0] == 1
    assert corpus_tokenizer.vocab_size <= 600


@pytest.mark.parametrize("kind", ["clip", "corpus"])
def test_a_word_is_made_of_its_own_tokens(corpus_tokenizer: CorpusTokenizer, kind: str) -> None:
    tokenizer: TextTokenizer = ClipTokenizer() if kind == "clip" else corpus_tokenizer
    batch = tokenizer.encode(["Don't WAKE the cat, please!", "你好 world"])
    assert [w.text for w in batch.words[0]] == ["don't", "wake", "the", "cat", "please"]
    assert [w.text for w in batch.words[1]] == ["你好", "world"]
    positions = [p for word in batch.words[0] for p in word.positions]
    assert positions == sorted(set(positions))
    cat = next(w for w in batch.words[0] if w.text == "cat")
    alone = tokenizer.encode(["cat"])
    assert batch.ids[0, cat.positions].tolist() == alone.ids[0, 1:-1].tolist()


@pytest.mark.parametrize("kind", ["clip", "corpus"])
def test_a_saved_tokenizer_says_the_same(
    corpus_tokenizer: CorpusTokenizer, kind: str, tmp_path: Path
) -> None:
    tokenizer: TextTokenizer = ClipTokenizer() if kind == "clip" else corpus_tokenizer
    tokenizer.save(tmp_path)
    texts = ["The cat sleeps", "<|endoftext|> Zürich"]
    expected = tokenizer.encode(texts)
    for other in (load_tokenizer(tmp_path), pickle.loads(pickle.dumps(tokenizer))):
        assert torch.equal(other.encode(texts).ids, expected.ids)
        assert other.vocab_size == tokenizer.vocab_size


def test_training_twice_gives_the_same_tokenizer() -> None:
    one, other = (CorpusTokenizer.train(TEXTS) for _ in range(2))
    assert torch.equal(one.encode(TEXTS).ids, other.encode(TEXTS).ids)


def test_special_tokens_in_a_text_are_only_characters(corpus_tokenizer: CorpusTokenizer) -> None:
    ids = corpus_tokenizer.encode(["<|endoftext|>"]).ids[0]
    assert (ids[1:-1] > 2).all()


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no tokenizer"):
        load_tokenizer(tmp_path)


def test_an_empty_text_is_named() -> None:
    with pytest.raises(ValueError, match="text 1 is empty"):
        ClipTokenizer().encode(["fine", "  \n"])


SCRIPTS = ["我喝牛奶", "ฉันไปโรงเรียน", "ខ្ញុំទៅសាលារៀន", "नमस्ते दुनिया", "السَّلَامُ عَلَيْكُمْ", "שָׁלוֹם עוֹלָם"]
KEPT = list(itertools.product([False, True], repeat=3))[1:]


@pytest.mark.parametrize("text", SCRIPTS)
def test_a_clip_token_belongs_to_the_words_of_its_own_characters(text: str) -> None:
    batch = ClipTokenizer().encode([text], context_length=200)
    assert batch.ids[0, 1:-1].tolist() == Tokenizer().encode(clean_text(text)), "published ids"
    words = batch.words[0]
    assert len(words) > 1
    for before, word in itertools.pairwise(words):
        assert before.positions[0] < word.positions[0]
        # A token of CLIP may cross into the next word, by one character's bytes or letters.
        assert len(set(before.positions) & set(word.positions)) <= 1
    assert sorted({p for word in words for p in word.positions}) == list(range(1, batch.ids.shape[1] - 1))


def test_each_clip_token_lies_at_its_bytes() -> None:
    piece = "我a喝"
    spans = clip_spans(piece, clip_backend().encode(piece))
    assert spans[0] == (0, 1)
    assert spans[-1] == (2, 3)
    assert (1, 2) in spans
    assert {i for start, end in spans for i in range(start, end)} == {0, 1, 2}


@pytest.mark.parametrize("text", SCRIPTS)
def test_a_corpus_tokenizer_merges_words_and_never_across_them(text: str) -> None:
    tokenizer = CorpusTokenizer.train([text] * 3, vocab_size=1000)
    words = tokenizer.encode([f"{text} {text}"], context_length=200).words[0]
    assert [word.text for word in words] == 2 * [word for word, _, _ in find_words(text)]
    assert [word.positions for word in words] == [[1 + i] for i in range(len(words))]


def test_a_tokenizer_of_an_earlier_version_cuts_as_it_was_trained() -> None:
    definition = json.loads(CorpusTokenizer.train(["我喝牛奶"] * 3, vocab_size=1000)._backend.to_str())
    split = definition["pre_tokenizer"]["pretokenizers"][0]
    split["pattern"] = {"Regex": PIECES}
    earlier = CorpusTokenizer(json.dumps(definition)).encode(["我喝牛奶"])
    assert [word.text for word in earlier.words[0]] == ["我", "喝", "牛奶"]
    assert (earlier.ids > 0).all(), "no token for a break that it does not know"
    assert earlier.ids.shape[1] > 5


class TestAugmentation:
    text = "the quick brown fox jumps"

    def test_swap_moves_two_words_and_loses_none(self) -> None:
        changed = augment_text(self.text, np.random.default_rng(0), "swap", 1.0).split()
        assert sorted(changed) == sorted(self.text.split())
        assert sum(a != b for a, b in zip(changed, self.text.split(), strict=True)) == 2

    def test_it_is_seeded_and_happens_as_often_as_told(self) -> None:
        runs = [
            [augment_text(self.text, rng) for _ in range(400)]
            for rng in (np.random.default_rng(7), np.random.default_rng(7))
        ]
        assert runs[0] == runs[1]
        assert 150 < sum(text != self.text for text in runs[0]) < 250

    def test_synonyms_replace_one_word_that_has_some(self) -> None:
        found = augment_text(self.text, np.random.default_rng(0), "synonym", 1.0, {"fox": ["vixen"]})
        assert found == "the quick brown vixen jumps"
        assert augment_text(self.text, np.random.default_rng(0), "synonym", 1.0) == self.text

    def test_deletion_keeps_at_least_one_word(self) -> None:
        rng = np.random.default_rng(0)
        found = [augment_text(self.text, rng, "deletion", 1.0).split() for _ in range(200)]
        assert min(map(len, found)) < 5
        assert all(augment_text("word", rng, "deletion", 1.0) == "word" for _ in range(50))

    def test_another_kind_is_refused(self) -> None:
        with pytest.raises(ValueError, match="not 'shuffle'"):
            augment_text(self.text, np.random.default_rng(0), "shuffle")

    def test_words_of_scripts_without_spaces_change_places(self) -> None:
        for text in ("我喝牛奶", "ฉันไปโรงเรียน"):
            words = sorted(word for word, _, _ in find_words(text))
            changed = augment_text(text, np.random.default_rng(0), "swap", 1.0)
            assert changed != text
            assert sorted(changed) == sorted(text)
            assert all(word in changed for word in words)

    def test_deletion_drops_whole_words_of_scripts_without_spaces(self) -> None:
        rng = np.random.default_rng(0)
        found = {augment_text("ฉันไปโรงเรียน", rng, "deletion", 1.0) for _ in range(200)}
        assert "ฉันโรงเรียน" in found
        assert found <= {
            "".join(w for w, keep in zip(("ฉัน", "ไป", "โรงเรียน"), k, strict=True) if keep) for k in KEPT
        }

    def test_synonyms_are_found_beside_punctuation_and_without_spaces(self) -> None:
        rng = np.random.default_rng(0)
        assert augment_text("The fox, again", rng, "synonym", 1.0, {"fox": ["vixen"]}) == "The vixen, again"
        assert augment_text("我喝牛奶。", rng, "synonym", 1.0, {"牛奶": ["水"]}) == "我喝水。"
