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
