"""Everything that depends on Ray's private names or on its undocumented settings.

`tests/platform/test_ray_compat.py` fails where a release of Ray renames one of them.
"""

from typing import Any

# Set where they are not, before Ray is joined or started.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    # A small machine that is still busy with a training needs more than the usual 5 s to start Serve.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    # Workers log to files; this is the driver's level.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
# Settings of a Ray instance that is started here. Where a computation takes all cores, each operation waits
# for the CPU time of Ray's own processes, so those that serve nobody here are slowed down or switched off.
LOCAL_ENVIRONMENT = {
    # Idle worker processes, some 100 MB each, exit after a while; Ray keeps one for every logical CPU.
    "RAY_num_workers_soft_limit": "0",
    "RAY_idle_worker_killing_time_threshold_ms": "10000",
    # Metrics on a port that nobody knows, and a record of tasks for a dashboard that does not run.
    "RAY_enable_metrics_collection": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_task_events_report_interval_ms": "0",
    # The node's state for that dashboard, collected once a minute instead of every 2 to 5 s.
    "REPORTER_UPDATE_INTERVAL_MS": "60000",
    "NODE_STATS_UPDATE_INTERVAL_SECONDS": "60",
    "RAY_DASHBOARD_STATS_UPDATING_INTERVAL": "60",
    "METRICS_RECORD_INTERVAL_S": "60",
    "SCAN_EVENT_DIR_INTERVAL_SECONDS": "60",
    # The autoscaler starts no node here.
    "AUTOSCALER_UPDATE_INTERVAL_S": "60",
    # Logs stay in files. Above this number of files, Ray looks for new ones rarely, not ten times a second.
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",
    "LOG_NAME_UPDATE_INTERVAL_S": "60",
    # Nobody preempts this machine's only node with notice.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}
# Ray Train's controller polls its workers every 2 s by default, which delays the end of short trainings.
TRAIN_ENVIRONMENT = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1"}
# Tune's own loggers write a folder of files for each trial, its new reporter writes to standard output.
TUNE_ENVIRONMENT = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
# Ray Serve takes a proxy for dead that needs more than 5 seconds to start, as it may on a busy laptop.
SERVE_ENVIRONMENT = {
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "30",
}
# Import path of a function that returns middlewares; Ray Serve's proxy calls it in its own process.
SERVE_PROXY_MIDDLEWARES = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"

# Passes out data sets of Ray Data and its settings; our loops open their data themselves.
DATASETS_CALLBACK = "DatasetsCallback"
# Frees the workers' placement group if Ray Train's controller dies; a local Ray ends with its driver anyway.
CLEANER_CALLBACK = "PlacementGroupCleanerCallback"


def hide_raylet_notices() -> None:
    """Keep a node's notices ("8 worker processes have been started") off standard output.

    `log_to_driver=False` does not do so, and no public setting does (Ray issue 63800); Ray's own debugger
    uses the same switch. Errors are still raised.
    """
    from ray._private import worker

    worker._worker_logs_enabled = False


def torch_trainer(is_local: bool) -> type[Any]:
    """Return Ray Train's `TorchTrainer`, without the helper processes that our trainings do not need.

    Each helper process takes time to start and then 0.5 to 1% of a core for as long as the training lasts: a
    worker process of Ray checks for signals a hundred times a second. With several threads, every operation
    waits for the slowest thread, so that the training loses as much.

    Parameters
    ----------
    is_local
        Whether Ray was started by this process, and ends with it.
    """
    from ray.train.torch import TorchTrainer

    needless = {DATASETS_CALLBACK, *([CLEANER_CALLBACK] if is_local else [])}

    class LeanTorchTrainer(TorchTrainer):  # type: ignore[misc]
        def _create_default_callbacks(self) -> list[Any]:
            return [c for c in super()._create_default_callbacks() if type(c).__name__ not in needless]

        def _register_sigint_handler(self, controller: Any) -> None:
            """Leave Ctrl-C to the caller: Ray Train's handler swallows it, and exits with code 0."""

    return LeanTorchTrainer
