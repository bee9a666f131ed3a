"""The sampler: which videos are in a batch, as a function of the seed, the epoch and the step alone."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
# A rest of fewer pairs than this part of a batch has too few wrong answers to learn from.
SMALLEST_SHARE = 4
# Batches that are looked through in one go for a text that occurs twice; fewer where there often is one.
MOST_AT_ONCE = 256


class Plan(NamedTuple):
    """Batches of an epoch: batch i is `videos[ends[i - 1] : ends[i]]`; both int32."""

    videos: Ints
    ends: Ints

    def __len__(self) -> int:
        return len(self.ends)

    def batch(self, number: int) -> Ints:
        """Return the videos of a batch."""
        return self.videos[self.ends[number - 1] if number else 0 : self.ends[number]]

    def sizes(self) -> Ints:
        """Return the number of videos of each batch."""
        return np.diff(self.ends, prepend=np.int32(0))


class Sampler:
    """Batches of videos in random order, without two videos of one text in a batch.

    A batch depends on the seed, the epoch and its number in the epoch, so that it is the same for any number
    of workers and after any resume. One epoch is held at a time: an integer a video.

    Parameters
    ----------
    text_of_video
        Index of each video's text, [N].
    batch_size
        Videos of a batch. Batches of fewer than a quarter of it are left out, unless there is no other.
    seed
        Of the order.

    Examples
    --------
    >>> sampler = Sampler(np.array([0, 0, 1, 2]), batch_size=2, seed=1)
    >>> sampler.steps(epoch=0)
    2
    >>> sampler.batch(epoch=0, step=1).tolist() == Sampler(np.array([0, 0, 1, 2]), 2, 1).batch(0, 1).tolist()
    True
    """

    def __init__(self, text_of_video: NDArray[np.integer], batch_size: int, seed: int) -> None:
        self.texts = np.asarray(text_of_video, dtype=np.int32)
        self.batch_size, self.seed = batch_size, seed
        self.unique = bool((np.bincount(self.texts) <= 1).all())
        self._known: tuple[int, Plan] | None = None

    def batch(self, epoch: int, step: int) -> Ints:
        """Return the videos of a step of an epoch, both from 0."""
        return self._plan(epoch).batch(step)

    def steps(self, epoch: int) -> int:
        """Return the number of batches of an epoch."""
        return len(self._plan(epoch))

    def total_steps(self, epochs: int) -> int:
        """Return the number of batches of all epochs; it is computed, not stored."""
        if self.unique:  # then all epochs are alike
            return epochs * self.steps(0) if epochs else 0
        return sum(len(self._planned(epoch)) for epoch in range(epochs))

    def _plan(self, epoch: int) -> Plan:
        if self._known is None or self._known[0] != epoch:
            self._known = (epoch, self._planned(epoch))
        return self._known[1]

    def _planned(self, epoch: int) -> Plan:
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.texts)).astype(np.int32)
        plan = plan_batches(order, self.texts, self.batch_size, self.unique)
        return _without_rests(plan, max(2, self.batch_size // SMALLEST_SHARE))


def plan_batches(order: Ints, texts: Ints, size: int, unique: bool = False) -> Plan:
    """Cut an order of videos into batches in which no text occurs twice; each video is in one of them.

    A video whose text the batch has already goes to the end of the queue. Two videos of one text in a batch
    would each count as a wrong answer to the other's text. The last batches may be smaller.

    Parameters
    ----------
    order
        All videos, int32 [N].
    texts
        Index of each video's text, int32 [N].
    size
        Videos of a batch.
    unique
        Whether no two videos have the same text.

    Examples
    --------
    >>> plan = plan_batches(np.array([2, 0, 1], np.int32), np.array([0, 0, 1], np.int32), size=2)
    >>> plan.batch(0).tolist(), plan.batch(1).tolist()
    ([2, 0], [1])
    """
    if unique:
        return Plan(order, _ends(len(order), size))
    return _Queue(order, texts, size).plan()


class _Queue:
    """The videos that wait, as a part of an array; those that are put back are appended.

    `repeated` says of each video whether another one has its text, `count` is the number of texts.
    """

    def __init__(self, order: Ints, texts: Ints, size: int) -> None:
        self.texts, self.size = texts, size
        self.waiting = np.concatenate([order, np.empty_like(order)])
        self.first, self.last = 0, len(order)
        self.at_once = 1
        of_text = np.bincount(texts)
        self.count, self.repeated = len(of_text), (of_text > 1)[texts]
        self.taken: list[Ints] = []
        self.sizes: list[int] = []

    def plan(self) -> Plan:
        """All batches."""
        while self.last - self.first >= self.size:
            self._take_whole_batches()
            if self.last - self.first < self.size:
                break
            if not self._take_mixed_batch():
                break
        self._take_rest()
        return Plan(np.concatenate(self.taken), np.cumsum(self.sizes, dtype=np.int32))

    def _take_whole_batches(self) -> None:
        """Take batches as they come, up to one that has a text twice."""
        while (most := min((self.last - self.first) // self.size, self.at_once)) > 0:
            videos = self.waiting[self.first : self.first + most * self.size]
            sound = self._sound(videos)
            if sound:
                self._take(videos[: sound * self.size], [self.size] * sound)
                self.first += sound * self.size
            if sound < most:
                self.at_once = max(1, self.at_once // 2)
                return
            self.at_once = min(2 * self.at_once, MOST_AT_ONCE)

    def _sound(self, videos: Ints) -> int:
        """Count the batches of these videos before the first one that has a text twice."""
        candidates = np.flatnonzero(self.repeated[videos])
        keys = (candidates // self.size) * self.count + self.texts[videos[candidates]]
        keys.sort()
        twice = np.flatnonzero(keys[1:] == keys[:-1])
        return int(keys[twice[0]] // self.count) if len(twice) else len(videos) // self.size

    def _take_mixed_batch(self) -> bool:
        """Take a batch and put back what it has twice; False if fewer texts are left than it needs."""
        reach = self.size + self.size // 4 + 1
        while True:
            videos = self.waiting[self.first : min(self.first + reach, self.last)]
            firsts = np.sort(np.unique(self.texts[videos], return_index=True)[1])
            if len(firsts) >= self.size:
                break
            if self.first + reach >= self.last:
                return False
            reach *= 2
        chosen = firsts[: self.size]
        seen = int(chosen[-1]) + 1
        back = np.ones(seen, dtype=bool)
        back[chosen] = False
        self._take(videos[chosen], [self.size])
        self._put_back(videos[:seen][back])
        self.first += seen
        return True

    def _take_rest(self) -> None:
        """Take what is left, whose texts are too few for a batch: one video of each a batch, in order."""
        videos = self.waiting[self.first : self.last]
        if not len(videos):
            return
        round_of_video = _occurrences(self.texts[videos])
        order = np.argsort(round_of_video, kind="stable")
        self._take(videos[order], np.bincount(round_of_video).tolist())

    def _take(self, videos: Ints, sizes: list[int]) -> None:
        self.taken.append(videos.copy())
        self.sizes += sizes

    def _put_back(self, videos: Ints) -> None:
        if self.last + len(videos) > len(self.waiting):
            left = self.last - self.first
            self.waiting[:left] = self.waiting[self.first : self.last].copy()
            self.first, self.last = 0, left
        self.waiting[self.last : self.last + len(videos)] = videos
        self.last += len(videos)


def _occurrences(values: Ints) -> NDArray[np.int64]:
    """Count the earlier occurrences of each value.

    >>> _occurrences(np.array([5, 7, 5, 5, 7], np.int32)).tolist()
    [0, 0, 1, 2, 1]
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    firsts = np.flatnonzero(is_first)
    counts = np.diff(np.append(firsts, len(values)))
    result = np.empty(len(values), dtype=np.int64)
    result[order] = np.arange(len(values)) - np.repeat(firsts, counts)
    return result


def _ends(count: int, size: int) -> Ints:
    return np.append(np.arange(size, count, size), count).astype(np.int32)


def _without_rests(plan: Plan, smallest: int) -> Plan:
    """The batches of at least so many videos; where there are none, the largest."""
    sizes = plan.sizes()
    kept = sizes >= smallest
    if not kept.any():
        kept = np.arange(len(sizes)) == int(sizes.argmax())
    if kept.all():
        return plan
    return Plan(plan.videos[np.repeat(kept, sizes)], np.cumsum(sizes[kept], dtype=np.int32))
