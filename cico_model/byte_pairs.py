"""Byte pairs learned from a corpus' texts, cut as CLIP cuts them: a vocabulary small enough to train."""

import functools
import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

PAD, START, END = "<|pad|>", "<|startoftext|>", "<|endoftext|>"
# How CLIP cuts a text before its byte pairs are merged. Words of Indic scripts, Thai, pointed Arabic and
# Hebrew are cut at their marks, too; published ids need that.
PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
# A tokenizer of our own keeps marks and joiners with their letters. Where a script writes no spaces, a
# zero-width space (which no clean text holds) parts the words, so that no pair is merged across them.
WORD_BREAK = "\u200b"
WORD_PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}[\p{L}\p{M}\x{200C}\x{200D}]*|[\p{N}]|[^\s\p{L}\p{N}\x{200B}]+"
END_OF_WORD = "</w>"


@functools.cache
def clip_splitter() -> Any:
    """CLIP's cut of a text into pieces that byte pairs never cross."""
    return pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True)


def has_word_breaks(definition: str) -> bool:
    """Whether a tokenizer was trained on texts with word breaks; earlier versions' were not."""
    splits = (json.loads(definition).get("pre_tokenizer") or {}).get("pretokenizers") or []
    return any(split.get("pattern") == {"Regex": WORD_PIECES} for split in splits)


def train_definition(texts: Sequence[str], vocab_size: int) -> str:
    """The `tokenizer.json` of a byte-pair tokenizer: padding, start, end, bytes, learned pairs.

    Parameters
    ----------
    texts
        Clean, with word breaks (`words.mark_breaks`).
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    endings = [letter + END_OF_WORD for letter in alphabet]
    backend = Backend(models.BPE(end_of_word_suffix=END_OF_WORD))
    backend.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    pieces = pre_tokenizers.Split(Regex(WORD_PIECES), behavior="removed", invert=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pieces, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.decoder = decoders.Sequence([decoders.Replace(END_OF_WORD, "\u0120"), decoders.ByteLevel()])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        show_progress=False,
        special_tokens=[PAD, START, END, *endings],
        initial_alphabet=alphabet,
        end_of_word_suffix=END_OF_WORD,
    )
    backend.train_from_iterator(texts, trainer)
    definition = json.loads(backend.to_str())
    model = definition["model"]
    # The trainer numbers the bytes that end a word as it meets them, in no fixed order, and settles ties by
    # number: as special tokens they have fixed numbers, and any text has tokens. Readers see no such thing.
    definition["added_tokens"] = [t for t in definition["added_tokens"] if t["content"] in (PAD, START, END)]
    vocabulary = [PAD, START, END, *alphabet, *endings]
    merges: list[Any] = []
    known = set(vocabulary)
    for merge in model["merges"]:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        if left + right not in known and len(vocabulary) >= vocab_size:
            break
        if left + right not in known:
            vocabulary.append(left + right)
            known.add(left + right)
        merges.append(merge)
    model["vocab"] = {token: number for number, token in enumerate(vocabulary)}
    model["merges"] = merges
    return json.dumps(definition, ensure_ascii=False)
