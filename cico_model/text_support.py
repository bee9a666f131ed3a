"""What sentences say for a pseudo-label: a sign that is really there shares its sentences with some word."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from cico_model.text_cleaning import clean_text
from cico_model.words import find_words, is_unspaced

# Detections' worth of belief that a sign goes with no word more than with another.
PRIOR = 2.0


class Detection(NamedTuple):
    """A sign of class `label` was found in the video with this number, with a confidence in 0 to 1."""

    video: int
    label: int
    confidence: float


def text_support(detections: Sequence[Detection], texts: Sequence[str]) -> list[float]:
    """How well the sentences of a corpus bear out each detected sign, without knowing what any sign means.

    Videos in which a sign is found for good reason have a word in common more often than others have: its
    translation, whatever the languages. The support of a detection is the largest factor, over the words of
    its own sentence, by which such a word is more frequent where the sign was found elsewhere than it is
    anyway. Detections count by their confidence, and those in videos of the same sentence don't count: an
    error that is made in each of them does not bear itself out.

    Parameters
    ----------
    detections
        Of all videos.
    texts
        What each video says.

    Returns
    -------
    list of float
        One a detection. Around 1: no word speaks for it. A few times that: one does.

    Notes
    -----
    The published method takes the classifier's word alone. The idea that subtitles tell which signs to expect
    is that of Albanie et al., "BSL-1K" (ECCV 2020); here words and signs need no names in common.

    Examples
    --------
    >>> texts = ["a red house", "the house", "my house is big", "the tree", "a big tree", "a car"]
    >>> seen = [Detection(0, 7, 0.9), Detection(1, 7, 0.8), Detection(2, 7, 0.9), Detection(5, 7, 0.7)]
    >>> [round(support, 1) for support in text_support(seen, texts)]
    [1.4, 1.4, 1.4, 0.9]
    """
    sentences = [_units(text) for text in texts]
    words = [set(sentence) for sentence in sentences]
    best: dict[tuple[int, int], float] = {}
    for video, label, confidence in detections:
        best[video, label] = max(confidence, best.get((video, label), 0.0))
    total: dict[int, float] = defaultdict(float)
    joint: dict[tuple[int, str], float] = defaultdict(float)
    of_sentence: dict[tuple[int, tuple[str, ...]], float] = defaultdict(float)
    for (video, label), confidence in best.items():
        total[label] += confidence
        of_sentence[label, sentences[video]] += confidence
        for word in words[video]:
            joint[label, word] += confidence
    videos = Counter(word for own in words for word in own)
    repeats = Counter(sentences)
    support = {}
    for video, label in best:
        same = repeats[sentences[video]]
        others, own = len(texts) - same, of_sentence[label, sentences[video]]
        factors = [0.0]
        for word in words[video]:
            usual = (videos[word] - same) / max(others, 1)
            if usual > 0:
                here = (joint[label, word] - own + PRIOR * usual) / (total[label] - own + PRIOR)
                factors.append(here / usual)
        support[video, label] = max(factors)
    return [support[video, label] for video, label, _ in detections]


def _units(text: str) -> tuple[str, ...]:
    """A sentence's words, and the letters of words that a dictionary cut: "看书" shares one with "买书"."""
    words = [word for word, _, _ in find_words(clean_text(text))]
    return tuple(words + [letter for word in words if len(word) > 1 and is_unspaced(word) for letter in word])
