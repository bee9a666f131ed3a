"""Settings of a run, of whatever task; nothing of Ray is loaded by them."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from cico_platform.cluster import threads_each
from cico_platform.errors import InputError
from cico_platform.settings import Settings
from cico_platform.training.compilation import CompileMode

if TYPE_CHECKING:
    from ray.train import ScalingConfig

WORKER_CPUS = 0.5
PAIRS_OF_A_WORKER = 4
# Settings that did not exist from the start; see `decisive`.
LATER_SETTINGS = ("patience",)


class RunSettings(Settings):
    """How a training runs; none of it changes what is trained.

    Attributes
    ----------
    workers
        Processes that train together; one a GPU where there are GPUs. Each batch is shared out among them.
        0 trains in the calling process, without the seconds that processes take to start: for small
        trainings on a CPU. Nothing is tried again there; the same command goes on from the last checkpoint.
    min_workers
        Elastic, if it is less than `workers`: with fewer nodes the run goes on with so many at least, and
        takes workers back when there is room. 0: as many as `workers`.
    resize_seconds
        How often a run that has too few workers looks for room.
    threads
        CPU threads of each; 0 shares the cores out.
    checkpoint_seconds
        Time between checkpoints, the most that a fault costs. Where writing one takes long, they are rarer.
    keep
        Checkpoints that stay while it runs.
    store
        Folder of each node in which a copy of the features is kept, from which its workers read; "": hidden
        beside the features, or in the machine's temporary folder where these lie behind a URL.
    compile
        Compile the networks where there are GPUs: "default" fuses kernels, "reduce-overhead" also launches
        them as CUDA graphs, for towers whose kernels are shorter than their launch. The first steps take
        minutes. Numbers are those of uncompiled networks up to rounding, but for which values dropout drops.
    resume
        "auto" goes on from the last checkpoint, "never" starts anew.
    """

    workers: int = Field(default=1, ge=0)
    min_workers: int = Field(default=0, ge=0)
    resize_seconds: float = Field(default=30.0, gt=0)
    threads: int = Field(default=0, ge=0)
    checkpoint_seconds: float = Field(default=15.0, ge=0)
    keep: int = Field(default=2, ge=1)
    store: str = ""
    compile: CompileMode = "off"
    resume: Literal["auto", "never"] = "auto"

    @model_validator(mode="after")
    def _not_more_than_workers(self) -> "RunSettings":
        if self.min_workers > self.workers:
            raise ValueError(f"min_workers ({self.min_workers}) is more than workers ({self.workers})")
        return self

    def own_threads(self) -> int:
        """CPU threads of each worker on this cluster."""
        return self.threads or threads_each(max(1, self.workers))

    def scaling(self) -> "ScalingConfig":
        """The workers, as Ray Train is told."""
        import ray
        from ray.train import ScalingConfig

        gpu = ray.cluster_resources().get("GPU", 0) >= (self.min_workers or self.workers)
        elastic = 0 < self.min_workers < self.workers
        return ScalingConfig(
            num_workers=(self.min_workers, self.workers) if elastic else self.workers,
            elastic_resize_monitor_interval_s=self.resize_seconds,
            use_gpu=gpu,
            # The elastic policy counts whole CPUs.
            resources_per_worker={"CPU": 1 if elastic else WORKER_CPUS, **({"GPU": 1} if gpu else {})},
        )


def decisive(settings: Settings) -> dict[str, Any]:
    """Return the settings of a training that change what comes out.

    Those that came later and are not used are left out: what was trained before them is still the same.
    """
    values = settings.model_dump(exclude={"run", "tracking"})
    return {name: value for name, value in values.items() if value or name not in LATER_SETTINGS}


def check_workers(workers: int, batch: int) -> None:
    """Refuse more workers than can share a batch, and the smaller one at the end of an epoch.

    Raises
    ------
    InputError
        If a worker had fewer than four of a batch.
    """
    if workers > 1 and PAIRS_OF_A_WORKER * workers > batch:
        raise InputError(
            f"{workers} workers can't share batches of {batch}: "
            f"each needs {PAIRS_OF_A_WORKER}; raise batch_size"
        )
