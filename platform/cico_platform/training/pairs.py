"""What the retrieval model trains and is judged on: features of videos beside their texts."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cico_model.model import RetrievalModel
from cico_model.text_cleaning import clean_text
from cico_platform.corpus.manifest import Corpus
from cico_platform.encoding.video_tokens import pad_rows
from cico_platform.errors import InputError
from cico_platform.pipelines.stored_features import Features, load_features
from cico_platform.storage import Place

ENCODE_BATCH = 64


@dataclass(frozen=True)
class Pairs:
    """Videos and the text that each one says.

    Attributes
    ----------
    video_ids
        Names of the videos.
    features
        float16 [W, F] a video.
    texts
        The different texts.
    owners
        Index into `texts` of each video.
    """

    video_ids: list[str]
    features: list[NDArray[np.float16]]
    texts: list[str]
    owners: list[int]

    def __len__(self) -> int:
        return len(self.video_ids)


def load_pairs(
    corpus: str | Place, features: str | Place | Features, split: str, alpha: float | None = None
) -> Pairs:
    """The pairs of one split, in the manifest's order; clips without features are left out.

    Raises
    ------
    InputError
        If none is left, or a clip's text is empty.
    """
    loaded = features if isinstance(features, Features) else load_features(features, alpha)
    clips = {clip.video_id: clip for clip in Corpus(corpus).clips(split=split, labelled=False)}
    selected = loaded.select(list(clips))
    if not selected.video_ids:
        raise InputError(f"no clip of '{corpus}' in split '{split}' has features")
    texts: dict[str, str] = {}
    for name in selected.video_ids:
        text = texts.setdefault(clips[name].text_id, clips[name].text)
        if not clean_text(text):
            raise InputError(
                f"clip '{name}': the text is empty; read the corpus again: 'cico corpus read' leaves it out"
            )
    places = {text_id: place for place, text_id in enumerate(texts)}
    owners = [places[clips[name].text_id] for name in selected.video_ids]
    return Pairs(selected.video_ids, selected.values, list(texts.values()), owners)


def epoch_batches(owners: Sequence[int], batch_size: int, rng: np.random.Generator) -> list[list[int]]:
    """Videos in random order, in batches in which no text occurs twice; each video once.

    Two videos of one text in a batch would each count as a wrong answer to the other's text. The last
    batches may be smaller.

    Examples
    --------
    >>> epoch_batches([0, 0, 1], 2, np.random.default_rng(0))
    [[2, 0], [1]]
    """
    waiting = deque(int(i) for i in rng.permutation(len(owners)))
    batches: list[list[int]] = []
    while waiting:
        batch: list[int] = []
        texts: set[int] = set()
        for _ in range(len(waiting)):
            if len(batch) == batch_size:
                break
            video = waiting.popleft()
            if owners[video] in texts:
                waiting.append(video)
            else:
                batch.append(video)
                texts.add(owners[video])
        batches.append(batch)
    return batches


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
    device = model.logit_scale.device
    longest = max(len(value) for value in pairs.features)
    videos, masks = [], []
    for first in range(0, len(pairs), ENCODE_BATCH):
        features, valid = pad_rows(pairs.features[first : first + ENCODE_BATCH], longest)
        videos.append(model.encode_video(features.to(device), valid.to(device)))
        masks.append(model.video_mask(valid).to(device))
    encoded = [
        model.encode_text(pairs.texts[first : first + ENCODE_BATCH])
        for first in range(0, len(pairs.texts), ENCODE_BATCH)
    ]
    length = max(text.tokens.shape[1] for text in encoded)
    pad = torch.nn.functional.pad
    tokens = torch.cat([pad(t.tokens, (0, 0, 0, length - t.tokens.shape[1])) for t in encoded])
    valid = torch.cat([pad(t.valid, (0, length - t.valid.shape[1])) for t in encoded])
    return EncodedPairs(torch.cat(videos), torch.cat(masks), tokens, valid)


@torch.inference_mode()
def score_encoded(model: RetrievalModel, videos: EncodedPairs, texts: EncodedPairs) -> Tensor:
    """Score of every video of one with every text of the other, float32 [V, T], compared in blocks."""
    scores = model.scores(videos.videos, texts.texts, videos.video_valid, texts.text_valid)
    return scores.float().cpu()


def score_pairs(model: RetrievalModel, pairs: Pairs) -> Tensor:
    """Score of every video with every text, float32 [videos, texts], compared in blocks."""
    encoded = encode_pairs(model, pairs)
    return score_encoded(model, encoded, encoded)
