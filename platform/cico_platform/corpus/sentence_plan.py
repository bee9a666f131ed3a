"""Which sentences are composed of which isolated clips: every word is learned, no test sentence is seen."""

import random
from dataclasses import dataclass

from cico_platform.corpus.manifest import SPLITS, Clip, Split
from cico_platform.errors import CicoError

ATTEMPTS = 60


@dataclass(frozen=True)
class Plan:
    """One video to render: the isolated clips in their order and what varies, all drawn from `seed`."""

    video_id: str
    path: str
    split: Split
    clips: tuple[Clip, ...]
    seed: str
    label: str | None = None
    speed: float | None = None


def plan_sentences(
    clips: list[Clip], counts: dict[Split, int], lengths: tuple[int, int], seed: int
) -> list[Plan]:
    """Draw unique sentences and deal them to the splits.

    Parameters
    ----------
    clips
        Isolated clips, each with a label.
    counts
        Sentences a split. Where the words allow fewer, all splits shrink alike.
    lengths
        Fewest and most words of a sentence.
    seed
        Of everything that is drawn.

    Returns
    -------
    list of Plan
        No text occurs twice, so none occurs in two splits; training holds every word that any sentence holds.

    Raises
    ------
    CicoError
        If there are too few words for sentences in every split.
    """
    rng = random.Random(f"sentences/{seed}")
    by_label: dict[str, list[Clip]] = {}
    for clip in clips:
        by_label.setdefault(clip.label or "", []).append(clip)
    sentences = _draw(sorted(by_label), sum(counts.values()), lengths, rng)
    dealt = _deal(sentences, counts, rng)
    if not all(dealt[split] for split in SPLITS if counts[split]):
        raise CicoError(
            f"{len(by_label)} words are too few to compose unseen test sentences; give more words"
        )
    plans = []
    for split in SPLITS:
        for number, words in enumerate(dealt[split]):
            chosen = tuple(_instance(by_label[word], split, rng) for word in words)
            name = f"{split}-{number:05d}"
            plans.append(Plan(name, f"videos/{split}/{name}.mp4", split, chosen, f"{seed}/{name}"))
    return plans


def _draw(
    words: list[str], total: int, lengths: tuple[int, int], rng: random.Random
) -> list[tuple[str, ...]]:
    """Unique sentences; words come from a shuffled bag, so that all occur equally often."""
    bag: list[str] = []
    seen: set[str] = set()
    sentences: list[tuple[str, ...]] = []
    misses = 0
    while len(sentences) < total and misses < ATTEMPTS:
        length = rng.randint(*lengths)
        sentence: list[str] = []
        while len(sentence) < length:
            if not bag:
                bag = rng.sample(words, len(words))
            word = bag.pop()
            if word not in sentence or len(words) < length:
                sentence.append(word)
        text = " ".join(sentence)
        if text in seen:
            misses += 1
            continue
        misses = 0
        seen.add(text)
        sentences.append(tuple(sentence))
    return sentences


def _deal(
    sentences: list[tuple[str, ...]], counts: dict[Split, int], rng: random.Random
) -> dict[Split, list[tuple[str, ...]]]:
    """Sentences that bring a new word go to training first; the others fill the splits."""
    share = min(1.0, len(sentences) / max(1, sum(counts.values())))
    sizes = {split: int(counts[split] * share) for split in SPLITS}
    order = rng.sample(sentences, len(sentences))
    covered: set[str] = set()
    first: list[tuple[str, ...]] = []
    rest: list[tuple[str, ...]] = []
    for sentence in order:
        (rest if covered.issuperset(sentence) else first).append(sentence)
        covered.update(sentence)
    dealt: dict[Split, list[tuple[str, ...]]] = {}
    dealt["test"], rest = rest[: sizes["test"]], rest[sizes["test"] :]
    dealt["validation"], rest = rest[: sizes["validation"]], rest[sizes["validation"] :]
    dealt["train"] = first + rest[: max(0, sizes["train"] - len(first))]
    return dealt


def _instance(clips: list[Clip], split: Split, rng: random.Random) -> Clip:
    """A clip of the word that belongs to the split, else one of training, else any."""
    for wanted in (split, "train"):
        fitting = [clip for clip in clips if clip.split == wanted]
        if fitting:
            return rng.choice(fitting)
    return rng.choice(clips)


def plan_dictionary(clips: list[Clip], takes: int, speeds: tuple[float, float], seed: int) -> list[Plan]:
    """The isolated signs themselves, in the sentences' form: one take as it is, others slower and faster."""
    plans = []
    for number, clip in enumerate(clips):
        for take in range(takes):
            rng = random.Random(f"dictionary/{seed}/{clip.video_id}/{take}")
            speed = 1.0 if take == 0 else rng.uniform(*speeds)
            name = f"take{take + 1}-{clip.video_id}"
            path = f"videos/signs/{number:05d}-take{take + 1}.mp4"
            plans.append(Plan(name, path, clip.split, (clip,), f"{seed}/{name}", clip.label, speed))
    return plans
