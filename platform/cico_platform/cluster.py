"""Ray: join the cluster at an address, or start a small quiet one on this machine."""

import logging
import os
from typing import Any

# Ray Data holds one logical CPU per actor; with as many logical CPUs as cores a resumed run can wait for ever.
MINIMUM_LOGICAL_CPUS = 6
LOCAL_OBJECT_STORE_BYTES = 1 << 30


def connect(address: str | None = None, **options: Any) -> None:
    """Join the Ray cluster at `address` (or `$RAY_ADDRESS`), or start one here; does nothing when already connected."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        return
    address = address or os.environ.get("RAY_ADDRESS")
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "ignore_reinit_error": True}
    if address:
        ray.init(address=address, **common, **options)
    else:
        ray.init(
            num_cpus=max(os.cpu_count() or 1, MINIMUM_LOGICAL_CPUS),
            object_store_memory=LOCAL_OBJECT_STORE_BYTES,
            include_dashboard=False,
            **common,
            **options,
        )
    from ray.data import DataContext

    data = DataContext.get_current()
    data.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
