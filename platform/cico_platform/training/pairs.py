"""What the retrieval model trains and is judged on: features of videos beside their texts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from cico_model.model import RetrievalModel
from cico_model.text_cleaning import clean_text
from cico_platform.corpus.manifest import Corpus, check_unique
from cico_platform.errors import InputError
from cico_platform.pipelines.stored_features import Features
from cico_platform.storage import Place
from cico_platform.training.data.feature_rows import FeatureRows, MemoryRows
from cico_platform.training.data.feature_source import FeatureSource, OnNote, OpenFeatures, open_features
from cico_platform.training.data.feature_store_files import LeftOut

ENCODE_BATCH = 64
# A letter or a number; what may be an entity, and the letters of Unicode that nobody sees (fillers).
LETTERS, INVISIBLE = r"[\pL\pN]", r"[&\x{115F}\x{1160}\x{3164}\x{FFA0}]"


class Strings(Sequence[str]):
    """Strings of an Arrow array, made Python's where they are asked for: 10^6 texts are 10^6 objects less."""

    def __init__(self, values: pa.LargeStringArray) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return list(self.values[index].to_pylist())
        return str(self.values[int(index)].as_py())

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), 1024):
            yield from self[first : first + 1024]


@dataclass(frozen=True)
class Pairs:
    """Videos and the text that each one says.

    Attributes
    ----------
    video_ids
        Names of the videos.
    features
        [W, F] a video.
    texts
        The different texts.
    text_of_video
        Index into `texts` of each video.
    """

    video_ids: Sequence[str]
    features: FeatureRows
    texts: Sequence[str]
    text_of_video: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.video_ids)

    def take(self, rows: Sequence[int]) -> "Pairs":
        """These videos and their texts, in this order."""
        texts = dict.fromkeys(int(self.text_of_video[row]) for row in rows)
        renumbered = {text: number for number, text in enumerate(texts)}
        return Pairs(
            [self.video_ids[row] for row in rows],
            self.features.take(rows),
            [self.texts[text] for text in texts],
            np.array([renumbered[int(self.text_of_video[row])] for row in rows], dtype=np.int64),
        )


@dataclass(frozen=True)
class PairSource:
    """Pairs of a split by name: what a worker of a training needs to open them on its own node."""

    corpus: str
    features: FeatureSource
    split: str

    def open(self, on_note: OnNote | None = None) -> Pairs:
        """Open them; see `load_pairs` and `FeatureSource.open` for errors."""
        return load_pairs(self.corpus, self.features.open(on_note), self.split)


def opened(pairs: Pairs | PairSource, on_note: OnNote | None = None) -> Pairs:
    """Pairs, opened on this node where they are not yet."""
    return pairs.open(on_note) if isinstance(pairs, PairSource) else pairs


def load_pairs(
    corpus: str | Place,
    features: str | Place | Features | OpenFeatures,
    split: str,
    alpha: float | None = None,
) -> Pairs:
    """The pairs of one split, in the manifest's order; clips without features are left out.

    Features of a folder are read through this node's feature store.

    Raises
    ------
    InputError
        If none is left, a clip's text is empty, or two clips have the same name.
    """
    found = _as_open(features, alpha)
    clips = Corpus(corpus).sentences(split, ("video_id", "text_id", "text"))
    check_unique(clips["video_id"], corpus)
    rows = pc.index_in(_large(clips["video_id"]), value_set=found.video_ids)
    clips, kept = clips.filter(rows.is_valid()), rows.drop_null()
    if not len(kept):
        raise InputError(f"no clip of '{corpus}' in split '{split}' has features")
    text_of_video = clips["text_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    firsts = np.unique(text_of_video, return_index=True)[1]  # the text of a sentence is its first clip's
    texts = _large(clips["text"]).take(pa.array(firsts))
    _check_texts(clips, firsts)
    values = found.rows.take(kept.to_numpy().astype(np.int64))
    return Pairs(Strings(_large(clips["video_id"])), values, Strings(texts), text_of_video.astype(np.int64))


def _check_texts(clips: pa.Table, firsts: NDArray[np.int64]) -> None:
    """Refuse texts of which nothing is left when they are cleaned; the clips at `firsts` are looked at."""
    texts = _large(clips["text"])
    # Letters stay, but for entities and invisible ones: only doubtful texts, which are few, are cleaned.
    is_seen, is_doubtful = (pc.match_substring_regex(texts, pattern) for pattern in (LETTERS, INVISIBLE))
    doubtful = pc.or_(pc.invert(is_seen), is_doubtful)
    for place in firsts[doubtful.take(pa.array(firsts)).to_numpy(zero_copy_only=False)].tolist():
        if not clean_text(texts[place].as_py()):
            name = clips["video_id"][place].as_py()
            raise InputError(
                f"clip '{name}': the text is empty; read the corpus again: 'cico corpus read' leaves it out"
            )


def has_pairs(corpus: str | Place, features: OpenFeatures, split: str) -> bool:
    """Whether any sentence clip of a split has features."""
    names = _large(Corpus(corpus).sentences(split, ["video_id"])["video_id"])
    return bool(pc.any(pc.is_in(names, value_set=features.video_ids), min_count=0).as_py())


def _as_open(features: str | Place | Features | OpenFeatures, alpha: float | None) -> OpenFeatures:
    if isinstance(features, OpenFeatures):
        return features
    if isinstance(features, Features):
        names = pa.array(features.video_ids, pa.large_string())
        return OpenFeatures(names, MemoryRows(features.values), features.dim, features.alpha, LeftOut())
    return open_features(features, alpha)


def _large(column: pa.ChunkedArray) -> pa.LargeStringArray:
    return column.cast(pa.large_string()).combine_chunks()


class EncodedPairs(NamedTuple):
    """Tokens of videos [V, 1 + T, D] and texts [T, L, D], on the model's device, with their masks."""

    videos: Tensor
    video_valid: Tensor
    texts: Tensor
    text_valid: Tensor


@torch.inference_mode()
def encode_pairs(model: RetrievalModel, pairs: Pairs) -> EncodedPairs:
    """All videos and all texts through the towers, in batches."""
    model.eval()
    longest = int(pairs.features.windows().max())
    videos, masks = [], []
    for first in range(0, len(pairs), ENCODE_BATCH):
        part = range(first, min(first + ENCODE_BATCH, len(pairs)))
        tokens, mask = encode_videos(model, pairs, part, longest)
        pairs.features.prefetch(range(part.stop, min(part.stop + ENCODE_BATCH, len(pairs))))
        videos.append(tokens)
        masks.append(mask)
    count = len(pairs.texts)
    texts = padded_together(
        encode_texts(model, pairs, range(first, min(first + ENCODE_BATCH, count)))
        for first in range(0, count, ENCODE_BATCH)
    )
    return EncodedPairs(torch.cat(videos), torch.cat(masks), *texts)


def encode_videos(model: RetrievalModel, pairs: Pairs, rows: range, longest: int) -> tuple[Tensor, Tensor]:
    """Tokens of some videos [n, 1 + longest, D] and their mask, on the model's device, in one batch."""
    features, valid = pairs.features.batch(rows, longest)
    device = model.logit_scale.device
    return model.encode_video(features.to(device), valid.to(device)), model.video_mask(valid).to(device)


def encode_texts(model: RetrievalModel, pairs: Pairs, rows: range) -> tuple[Tensor, Tensor]:
    """Tokens of some texts [n, L, D] and their mask, on the model's device, in one batch."""
    encoded = model.encode_text(pairs.texts[rows.start : rows.stop])
    return encoded.tokens, encoded.valid


def padded_together(parts: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Tokens [n, L, D] and masks of several batches as one, padded to the longest."""
    found = list(parts)
    length = max(valid.shape[1] for _, valid in found)
    pad = torch.nn.functional.pad
    tokens = torch.cat([pad(part, (0, 0, 0, length - part.shape[1])) for part, _ in found])
    return tokens, torch.cat([pad(valid, (0, length - valid.shape[1])) for _, valid in found])


@torch.inference_mode()
def score_encoded(model: RetrievalModel, videos: EncodedPairs, texts: EncodedPairs) -> Tensor:
    """Score of every video of one with every text of the other, float32 [V, T], compared in blocks."""
    scores = model.scores(videos.videos, texts.texts, videos.video_valid, texts.text_valid)
    return scores.float().cpu()


def score_pairs(model: RetrievalModel, pairs: Pairs) -> Tensor:
    """Score of every video with every text, float32 [videos, texts], compared in blocks."""
    encoded = encode_pairs(model, pairs)
    return score_encoded(model, encoded, encoded)
