"""Scores of a validation split computed by all workers: each encodes and compares its share."""

from collections.abc import Iterator

import torch
from torch import Tensor

from cico_model.gathering import gather_rows
from cico_model.model import RetrievalModel
from cico_platform.training.pairs import ENCODE_BATCH, Pairs, encode_texts, encode_videos, padded_together
from cico_platform.training.workers import Worker, chunks, gather_on_first


@torch.inference_mode()
def score_on_workers(model: RetrievalModel, pairs: Pairs, worker: Worker) -> Tensor | None:
    """Score every video with every text, each worker its share of the videos; all workers call it.

    Workers take whole chunks, whose bounds do not depend on the number of workers: neither do the scores, bit
    by bit. No worker holds the tokens of all videos.

    Returns
    -------
    Tensor
        float32 [videos, texts] on the first worker; None on the others.
    """
    model.eval()
    texts, text_valid = _all_texts(model, pairs, worker)
    longest = int(pairs.features.windows().max())
    rows = [torch.empty(0, len(pairs.texts))]
    for chunk, following in _share(len(pairs), worker):
        tokens, valid = encode_videos(model, pairs, chunk, longest)
        pairs.features.prefetch(following)
        rows.append(model.scores(tokens, texts, valid, text_valid).float().cpu())
    found = gather_on_first(torch.cat(rows), worker)
    return None if found is None else torch.cat(found)


def _all_texts(model: RetrievalModel, pairs: Pairs, worker: Worker) -> tuple[Tensor, Tensor]:
    """Tokens of all texts [T, L, D] and their mask, on every worker; each encodes its share."""
    parts = [encode_texts(model, pairs, chunk) for chunk, _ in _share(len(pairs.texts), worker)]
    device, config = model.logit_scale.device, model.config
    if not parts:  # more workers than chunks
        length = 0 if config.mask_padding else config.context_length
        tokens = torch.empty(0, length, config.embed_dim, device=device)
        parts = [(tokens, torch.empty(0, length, dtype=torch.bool, device=device))]
    tokens, valid = padded_together(parts)
    return gather_rows(tokens, valid) if worker.count > 1 else (tokens, valid)


def _share(count: int, worker: Worker) -> Iterator[tuple[range, range]]:
    """This worker's chunks of so many rows, each with the one that follows."""
    own = worker.share(chunks(count, ENCODE_BATCH))
    return zip(own, [*own[1:], range(0)][: len(own)], strict=True)
