"""What a reproduction costs before it is begun: device-hours, decoding cores and disk of each step."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cico_model.config import WINDOW_FRAMES, SignEncoderConfig
from cico_platform.corpus.manifest import Split
from cico_platform.pipelines.device_rates import DECODED_FRAMES_PER_CORE, Rate, TrainingRates, training_rates
from cico_platform.pipelines.plan import HALF_BYTES
from cico_platform.reproduce.recipes import Recipe, SplitSize
from cico_platform.reproduce.settings import ReproduceSettings

Sizes = Mapping[Split, SplitSize]
GIB = 1 << 30
# Segments that mining finds in a clip; not published, and counted once mining is finished.
SEGMENTS_A_CLIP = 3
# Bytes of a stored segment (docs/benchmarks.md), of the sign encoder's and the retrieval model's weights.
SEGMENT_BYTES, ENCODER_BYTES, MODEL_BYTES = 300_000, 75_000_000, 610_000_000
# A checkpoint of a training holds the weights, the best ones and two moments of the optimiser; two are kept.
CHECKPOINT_COPIES = 4 * 2


@dataclass(frozen=True)
class StepCost:
    """Costs of a step.

    Attributes
    ----------
    device_hours
        Of one device, all together.
    decoding_core_hours
        Of processor cores that decode video.
    disk_gib
        What it leaves on the disk; with `while_it_runs`, which is removed at its end.
    basis
        "measured" or "estimated" rates; "" where no device works.
    """

    name: str
    device_hours: float = 0.0
    decoding_core_hours: float = 0.0
    disk_gib: float = 0.0
    while_it_runs_gib: float = 0.0
    basis: str = ""


@dataclass(frozen=True)
class RecipeCosts:
    """Costs of all steps on so many devices."""

    steps: tuple[StepCost, ...]
    rate: Rate
    devices: int
    segments: int
    segments_are_counted: bool

    def of(self, step: str) -> StepCost:
        """Costs of a step; nothing for one that is not listed."""
        name = "read" if step.startswith("read-") else step
        return next((cost for cost in self.steps if cost.name == name), StepCost(step))

    @property
    def device_hours(self) -> float:
        """Of all steps."""
        return round(sum(step.device_hours for step in self.steps), 2)

    @property
    def disk_gib(self) -> float:
        """What all steps leave, and the most that one of them needs for a while."""
        kept = sum(step.disk_gib for step in self.steps)
        return round(kept + max(step.while_it_runs_gib for step in self.steps), 2)

    def as_json(self) -> dict[str, Any]:
        """The costs as plain data."""
        return {
            "device": self.rate.device,
            "devices": self.devices,
            "windows_per_second": round(self.rate.windows, 1),
            "source": self.rate.source,
            "segments": self.segments,
            "device_hours": self.device_hours,
            "hours": round(self.device_hours / self.devices, 2),
            "disk_gib": self.disk_gib,
            "steps": [asdict(step) for step in self.steps],
        }


def recipe_costs(
    recipe: Recipe,
    settings: ReproduceSettings,
    rate: Rate,
    devices: int = 1,
    rows: Mapping[str, int] | None = None,
    segments: int | None = None,
) -> RecipeCosts:
    """Costs of a recipe.

    Parameters
    ----------
    rate
        Of the device.
    rows
        Sentences of each split, where the files are there; None takes the published sizes.
    segments
        Pseudo-labels, once they are mined.
    """
    sizes = sizes_of(recipe, rows)
    trained = training_rates(rate)
    counted = segments is not None
    found = segments if segments is not None else SEGMENTS_A_CLIP * sizes["train"].clips
    steps = (
        StepCost("import-encoder", disk_gib=_gib(ENCODER_BYTES)),
        StepCost("import-clip", disk_gib=_gib(MODEL_BYTES)),
        StepCost("read", decoding_core_hours=_decoding(sum(size.frames for size in sizes.values()))),
        _mine(sizes["train"], rate),
        _adapt(found, settings, trained),
        _features(sizes, rate),
        _train(sizes, settings, trained),
    )
    return RecipeCosts(steps, rate, devices, found, counted)


def sizes_of(recipe: Recipe, rows: Mapping[str, int] | None = None) -> dict[Split, SplitSize]:
    """Sizes of the splits; those of other numbers of sentences have clips as long as the published."""
    sizes: dict[Split, SplitSize] = {}
    train = recipe.sizes["train"]
    for split, known in recipe.sizes.items():
        share = 1.0 if rows is None else rows.get(split, 0) / known.clips
        selected = known.selected or known.clips * train.selected / train.clips
        sizes[split] = SplitSize(
            round(known.clips * share), round(known.frames * share), round(selected * share)
        )
    return sizes


def _mine(train: SplitSize, rate: Rate) -> StepCost:
    """Every window of the training videos; the features of those for retrieval are kept."""
    windows = max(train.clips, train.frames - (WINDOW_FRAMES - 1) * train.clips)
    hours, disk = _hours(windows, rate.windows), _features_gib(train.selected)
    return StepCost("mine", hours, _decoding(train.frames), disk, 0.0, rate.basis)


def _adapt(segments: int, settings: ReproduceSettings, rates: TrainingRates) -> StepCost:
    windows = segments * settings.adaptation.epochs * settings.adaptation.windows_per_sample
    stored = _gib(segments * SEGMENT_BYTES + ENCODER_BYTES * CHECKPOINT_COPIES)
    hours, disk = _hours(windows, rates.windows), _gib(ENCODER_BYTES)
    return StepCost("adapt", hours, 0.0, disk, stored, rates.windows_basis)


def _features(sizes: Sizes, rate: Rate) -> StepCost:
    """By two encoders; mining has computed the first one's of the training videos."""
    selected = sum(size.selected for size in sizes.values())
    windows = 2 * selected - sizes["train"].selected
    frames = sum(size.frames for size in sizes.values())
    hours, disk = _hours(windows, rate.windows), _features_gib(2 * selected)
    return StepCost("features", hours, _decoding(frames), disk, 0.0, rate.basis)


def _train(sizes: Sizes, settings: ReproduceSettings, rates: TrainingRates) -> StepCost:
    """All seeds; beside the models, the node's copy of the features."""
    pairs = sizes["train"].clips * settings.training.epochs * settings.seeds
    copy = _features_gib(sum(size.selected for size in sizes.values()))
    disk = _gib(MODEL_BYTES * settings.seeds) + copy
    running = _gib(MODEL_BYTES * CHECKPOINT_COPIES)
    return StepCost("train", _hours(pairs, rates.pairs), 0.0, round(disk, 2), running, rates.pairs_basis)


def _hours(count: float, rate: float) -> float:
    return round(count / rate / 3600, 2)


def _decoding(frames: int) -> float:
    return round(frames / DECODED_FRAMES_PER_CORE / 3600, 2)


def _features_gib(windows: int) -> float:
    return _gib(windows * SignEncoderConfig().feature_dim * HALF_BYTES)


def _gib(count: float) -> float:
    return round(count / GIB, 2)
