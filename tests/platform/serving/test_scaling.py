"""Replicas are as many as the load that they report needs."""

import pytest
from ray.serve._private.common import DeploymentID
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from cico_platform.serving.scaling import LOAD, by_load, policy, wanted


def context(now: int, loads: dict[str, float] | None) -> AutoscalingContext:
    return AutoscalingContext(
        deployment_id=DeploymentID("SearchApi"),
        deployment_name="SearchApi",
        app_name="cico",
        current_num_replicas=now,
        target_num_replicas=now,
        running_replicas=[],
        total_num_requests=0.0,
        total_queued_requests=0.0,
        aggregated_metrics=None if loads is None else {LOAD: loads},  # type: ignore[dict-item]
        raw_metrics=None,
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=8,
        policy_state={},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=0.0,
        config=None,
    )


@pytest.mark.parametrize(
    ("now", "loads", "needed"),
    [
        (1, None, 1),
        (2, {}, 2),
        (1, {"a": 0.5}, 1),
        (1, {"a": 1.0}, 2),
        (3, {"a": 1.0, "b": 1.0, "c": 1.0}, 5),
        (4, {"a": 0.1, "b": 0.0, "c": 0.2, "d": 0.1}, 1),
        (4, {"a": 1.0, "b": 1.0}, 6),
    ],
)
def test_ray_serve_is_told_how_many_replicas_the_load_needs(
    now: int, loads: dict[str, float] | None, needed: int
) -> None:
    assert policy(context(now, loads))[0] == needed == wanted(loads or {}, now)


def test_ray_serve_takes_the_configuration_and_finds_the_policy_by_its_name() -> None:
    config = AutoscalingConfig(**by_load(2, 1, initial=5))
    assert (config.min_replicas, config.max_replicas, config.initial_replicas) == (2, 2, 2)
    assert config.policy.get_policy()(context(1, {"a": 1.0}))[0] == 2
