"""What each worker of the retrieval model's training does: its part of every batch, the loss of all."""

from typing import Any

import numpy as np
import ray
import torch
from torch import Tensor, nn

from cico_model.metrics import retrieval_metrics
from cico_model.model import RetrievalModel
from cico_model.optimizer import PublishedAdam, parameter_groups, warmup_cosine
from cico_model.text import augment_text
from cico_platform.pipelines.stored_features import pad_features
from cico_platform.training.pairs import Pairs, epoch_batches, score_pairs
from cico_platform.training.runs import Saver, State, Worker, load_state, worker, wrap

MAX_GRAD_NORM = 1.0
DIVERGED = "the loss is no longer a number; lower the learning rate"


def train_loop(config: dict[str, Any]) -> None:
    """Train on this worker; `config` is what `train_retrieval` gives."""
    settings, place = config["settings"], worker(config["threads"])
    train, validation = ray.get([config["train"], config["validation"]])
    model = RetrievalModel(config["config"], config["tokenizer"])
    model.load_state_dict(config["weights"])
    model.to(place.device)
    wrapped = wrap(model, place)
    batches = [_plan(train, settings, epoch) for epoch in range(settings.epochs)]
    optimizer, schedule = _optimizer(model, settings, sum(len(epoch) for epoch in batches))
    state = load_state(place) or {"epoch": 0, "best": {}, "best_epoch": 0, "best_metrics": {}}
    if state["epoch"]:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if schedule:
            schedule.load_state_dict(state["schedule"])
    saver = Saver(place, config["folder"])
    for epoch in range(state["epoch"], settings.epochs):
        torch.manual_seed(settings.seed * 10007 + epoch * 101 + place.rank)
        losses = []
        wrapped.train()
        for batch in batches[epoch]:
            inputs = _inputs(model, train, batch, settings, epoch, place)
            losses.append(_step(wrapped, model, optimizer, inputs))
            if schedule:
                schedule.step()
        last = epoch + 1 == settings.epochs
        metrics: dict[str, Any] = {"epoch": epoch + 1, "loss": round(float(np.mean(losses)), 4)}
        if last or (epoch + 1) % settings.evaluate_every == 0:
            metrics |= _select(model, validation, state, epoch + 1, place)
        state = {
            **state,
            "epoch": epoch + 1,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict() if schedule else {},
        }
        saver.save(state, metrics, last=last)


def _plan(train: Pairs, settings: Any, epoch: int) -> list[list[int]]:
    """An epoch's global batches; a rest of a few pairs has too few wrong answers to learn from."""
    rng = np.random.default_rng([settings.seed, epoch])
    batches = epoch_batches(train.owners, settings.batch_size, rng)
    smallest = max(2, settings.workers, settings.batch_size // 4)
    return [batch for batch in batches if len(batch) >= smallest] or [max(batches, key=len)]


def _optimizer(model: RetrievalModel, settings: Any, steps: int) -> tuple[torch.optim.Optimizer, Any]:
    groups = parameter_groups(model, settings.lr, settings.weight_decay)
    if settings.optimizer == "published":
        return PublishedAdam(groups, settings.lr, total_steps=steps, warmup=settings.warmup), None
    optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98), fused=True)

    def factor(step: int) -> float:
        return warmup_cosine((step + 1) / (steps + 1), settings.warmup)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _inputs(
    model: RetrievalModel, train: Pairs, batch: list[int], settings: Any, epoch: int, place: Worker
) -> tuple[Tensor, ...]:
    """This worker's part of a batch, augmented alike whatever the number of workers."""
    share = place.share(batch)
    rngs = [np.random.default_rng([settings.seed, epoch, video]) for video in share]
    features, valid = pad_features([train.features[video] for video in share])
    for row, rng in enumerate(rngs):
        count = int(valid[row].sum())
        kept = rng.random(count) >= settings.drop_windows
        kept[rng.integers(count)] = True
        valid[row, :count] &= torch.from_numpy(kept)
        if settings.noise:
            own = features[row, :count]
            noise = torch.from_numpy(rng.standard_normal(own.shape, dtype=np.float32))
            features[row, :count] += settings.noise * own.std() * noise
    texts = [train.texts[train.owners[video]] for video in share]
    tokens = model.tokenise(texts)
    inputs = [features, valid, tokens.ids, tokens.valid]
    if settings.augment:
        changed = [
            augment_text(text, rng, settings.augment_kind, settings.augment)
            for text, rng in zip(texts, rngs, strict=True)
        ]
        augmented = model.tokenise(changed)
        inputs += [augmented.ids, augmented.valid]
    return tuple(tensor.to(place.device) for tensor in inputs)


def _step(
    wrapped: nn.Module, model: RetrievalModel, optimizer: torch.optim.Optimizer, inputs: tuple[Tensor, ...]
) -> float:
    try:
        loss = wrapped(*inputs)
    except ValueError as error:
        # The model refuses tokens that are no numbers; sound features then mean weights that are not.
        if "not finite" not in str(error) or not bool(torch.isfinite(inputs[0]).all()):
            raise
        raise FloatingPointError(DIVERGED) from None
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
    optimizer.step()
    model.clamp_logit_scale()
    value = float(loss.detach())
    if not np.isfinite(value):
        raise FloatingPointError(DIVERGED)
    return value


def _select(
    model: RetrievalModel, validation: Pairs | None, state: State, epoch: int, place: Worker
) -> dict[str, Any]:
    """Keep this epoch's weights in `state` if they are the best so far on the validation split."""
    if place.rank != 0:
        return {}
    weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    if validation is None:
        state.update(best=weights, best_epoch=epoch, best_metrics={})
        return {}
    found = retrieval_metrics(score_pairs(model, validation), validation.owners)
    metrics = {f"{way}_R@1": round(found[way]["R@1"], 2) for way in ("t2v", "v2t")}
    if not state["best"] or sum(metrics.values()) >= sum(state["best_metrics"].values()):
        state.update(best=weights, best_epoch=epoch, best_metrics=metrics)
    return metrics
