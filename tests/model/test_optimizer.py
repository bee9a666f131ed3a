"""The optimiser walks the published one's path."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cico_model.config import TOWERS
from cico_model.optimizer import PublishedAdam, parameter_groups
from cico_model.towers import TextTower


def test_the_published_path_is_followed(golden_dir: Path) -> None:
    golden = np.load(golden_dir / "optimizer.npz")
    w, b = (torch.from_numpy(golden[k]).requires_grad_() for k in ("w0", "b0"))
    groups = [{"params": [w], "weight_decay": 1e-3}, {"params": [b]}]
    optimizer = PublishedAdam(groups, lr=1e-2, total_steps=20, warmup=0.1)
    for step in range(20):
        w.grad, b.grad = (torch.from_numpy(golden[k][step].copy()) for k in ("grad_w", "grad_b"))
        nn.utils.clip_grad_norm_([w, b], 1.0)
        optimizer.step()
        assert np.abs(w.detach().numpy() - golden["w"][step]).max() <= 1e-5
        assert np.abs(b.detach().numpy() - golden["b"][step]).max() <= 1e-5


def test_a_run_that_is_cut_goes_on_as_if_it_had_not_been() -> None:
    def run(cut: bool) -> torch.Tensor:
        torch.manual_seed(0)
        layer = nn.Linear(3, 2)
        optimizer = PublishedAdam(parameter_groups(layer, lr=0.1), total_steps=6)
        for step in range(6):
            if cut and step == 3:
                state = optimizer.state_dict()
                optimizer = PublishedAdam(parameter_groups(layer, lr=0.1), total_steps=6)
                optimizer.load_state_dict(state)
            optimizer.zero_grad()
            layer(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()
        return layer.weight.detach()

    assert torch.equal(run(cut=True), run(cut=False))


@pytest.mark.parametrize("max_grad_norm", [0.0, 0.05])
def test_all_parameters_at_once_walk_the_path_of_each_by_itself(max_grad_norm: float) -> None:
    """As on a GPU; a parameter that had no gradient at first is a step behind the others."""

    def walk(together: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        weights = [torch.randn(shape, requires_grad=True) for shape in ((5, 3), (7,), (2, 2, 2))]
        groups = [{"params": weights[:2], "weight_decay": 0.1}, {"params": weights[2:]}]
        optimizer = PublishedAdam(groups, lr=0.05, total_steps=8, max_grad_norm=max_grad_norm)
        for step in range(8):
            for number, weight in enumerate(weights):
                weight.grad = None if step == 0 and number == 1 else torch.randn_like(weight)
            if together:
                optimizer._update = None  # type: ignore[assignment]
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(torch.Tensor, "is_cuda", True)
                    optimizer.step()
            else:
                optimizer.step()
        return [weight.detach() for weight in weights]

    for one, other in zip(walk(together=True), walk(together=False), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_biases_and_layer_norms_are_not_decayed() -> None:
    tower = TextTower(TOWERS["tiny"])
    decayed, free = parameter_groups(tower)
    assert {id(p) for p in free["params"]} >= {id(tower.ln_final.weight), id(tower.ln_final.bias)}
    assert id(tower.projection) in {id(p) for p in decayed["params"]}
    assert len(decayed["params"]) + len(free["params"]) == len(list(tower.parameters()))
    assert free["weight_decay"] == 0


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="warmup 2"):
        PublishedAdam([torch.zeros(1, requires_grad=True)], warmup=2)
