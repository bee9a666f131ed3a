"""The published optimiser of the retrieval model: an Adam without bias correction, warmed up, then cosine."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

import torch
from torch import Tensor, nn


def warmup_cosine(progress: float, warmup: float) -> float:
    """Factor of the learning rate after a share `progress` of the run: it rises, then follows half a cosine.

    The cosine is that of the whole run, not of what is left after the warm-up, as published.

    Examples
    --------
    >>> warmup_cosine(0.05, 0.1), warmup_cosine(0.5, 0.1), warmup_cosine(1.0, 0.1)
    (0.5, 0.5, 0.0)
    """
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1.0 + round(math.cos(math.pi * min(progress, 1.0)), 12))


def parameter_groups(model: nn.Module, lr: float = 1e-5, weight_decay: float = 1e-3) -> list[dict[str, Any]]:
    """A model's parameters in two groups: decayed, and not (biases, LayerNorm and scales; method 7)."""
    norms = {id(p) for m in model.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()}
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        kept_free = name.endswith("bias") or id(parameter) in norms or parameter.ndim == 0
        (free if kept_free else decayed).append(parameter)
    return [
        {"params": decayed, "lr": lr, "weight_decay": weight_decay},
        {"params": free, "lr": lr, "weight_decay": 0.0},
    ]


class PublishedAdam(torch.optim.Optimizer):
    """Adam as published CiCo checkpoints were trained with it (method 7).

    It differs from `torch.optim.AdamW` in four ways: each tensor's gradient is clipped to a norm of
    `max_grad_norm`; the moments are not corrected for their start at zero; the decay is added to the step, so
    that it is scaled by the learning rate; and it carries its own schedule, counted from step 0: a run
    with a warm-up starts with a step of length 0. Clip the global norm before it, as published.

    Parameters
    ----------
    params
        Parameters, or groups of them (`parameter_groups`).
    lr
        Learning rate at the top of the schedule.
    total_steps
        Steps of the whole run; -1 for a constant rate.
    warmup
        Share of the run in which the rate rises.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-5,
        *,
        total_steps: int = -1,
        warmup: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        max_grad_norm: float = 1.0,
    ) -> None:
        if lr < 0 or eps < 0 or not 0 <= warmup <= 1 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"lr {lr}, eps {eps}, warmup {warmup} or betas {betas} are out of range")
        super().__init__(
            params,
            {
                "lr": lr,
                "total_steps": total_steps,
                "warmup": warmup,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "max_grad_norm": max_grad_norm,
            },
        )

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step with the gradients at hand; `closure`, where given, computes them."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            for parameter in parameters:
                if not self.state[parameter]:
                    zeros = {name: torch.zeros_like(parameter) for name in ("first", "second")}
                    self.state[parameter] = {"step": 0, **zeros}
            # On a GPU, thousands of short kernels take longer to launch than to run.
            if parameters and parameters[0].is_cuda:
                self.update_together(parameters, group)
            else:
                for parameter in parameters:
                    self._update(parameter, group)
        return loss

    def current_lr(self, step: int, group: int = 0) -> float:
        """Learning rate of a group's step, counted from 0."""
        return scheduled_lr(self.param_groups[group], step)

    @torch.no_grad()
    def update_together(self, parameters: Sequence[Tensor], group: dict[str, Any]) -> None:
        """Update parameters of a group that have gradients and states, in few kernels for all of them."""
        by_step: dict[int, list[Tensor]] = {}
        for parameter in parameters:
            by_step.setdefault(self.state[parameter]["step"], []).append(parameter)
        for step, alike in by_step.items():
            self._update_alike(alike, group, step)

    def _update_alike(self, parameters: list[Tensor], group: dict[str, Any], step: int) -> None:
        states = [self.state[parameter] for parameter in parameters]
        first, second = [state["first"] for state in states], [state["second"] for state in states]
        beta1, beta2 = group["betas"]
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if group["max_grad_norm"] > 0:
            norms = torch.stack(torch._foreach_norm(grads))
            scales = (group["max_grad_norm"] / (norms + 1e-6)).clamp(max=1.0)
            grads = list(torch._foreach_mul(grads, list(scales.unbind())))
        torch._foreach_mul_(first, beta1)
        torch._foreach_add_(first, grads, alpha=1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, grads, grads, value=1 - beta2)
        divisors = torch._foreach_sqrt(second)
        torch._foreach_add_(divisors, group["eps"])
        updates = torch._foreach_div(first, divisors)
        if group["weight_decay"]:
            torch._foreach_add_(updates, parameters, alpha=group["weight_decay"])
        torch._foreach_add_(parameters, updates, alpha=-scheduled_lr(group, step))
        for state in states:
            state["step"] += 1

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, grad = self.state[parameter], parameter.grad
        assert grad is not None
        beta1, beta2 = group["betas"]
        if group["max_grad_norm"] > 0:
            grad = grad * (group["max_grad_norm"] / (grad.norm() + 1e-6)).clamp(max=1.0)
        state["first"].mul_(beta1).add_(grad, alpha=1 - beta1)
        state["second"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        update = state["first"] / state["second"].sqrt().add_(group["eps"])
        if group["weight_decay"]:
            update.add_(parameter, alpha=group["weight_decay"])
        parameter.add_(update, alpha=-scheduled_lr(group, state["step"]))
        state["step"] += 1


def scheduled_lr(group: dict[str, Any], step: int) -> float:
    """Learning rate of a parameter group at a step, counted from 0."""
    lr = float(group["lr"])
    if group["total_steps"] <= 0:
        return lr
    return lr * warmup_cosine(step / group["total_steps"], group["warmup"])
