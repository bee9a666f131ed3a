"""The steps of a reproduction, in their order: each is a step of its own, skipped where it is finished."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cico_platform.corpus.read import read_corpus
from cico_platform.errors import InputError
from cico_platform.evaluation.evaluate import evaluate
from cico_platform.evaluation.seeds import SEEDS_FILE, train_seeds
from cico_platform.pipelines.features import extract_features
from cico_platform.pipelines.mine import mine
from cico_platform.reproduce.corpus import Choices, build_corpus
from cico_platform.reproduce.recipes import Recipe
from cico_platform.reproduce.settings import ReproduceSettings, reading
from cico_platform.reproduce.sources import Sources, Table
from cico_platform.reproduce.weights import Weights
from cico_platform.settings import OnProgress
from cico_platform.steps import STEP_FILE, Summary
from cico_platform.storage import Place
from cico_platform.training.import_weights import import_weights
from cico_platform.training.sign_encoder import train_sign_encoder

NOT_ADAPTED = "no window is above the threshold of mining: there is nothing to adapt to"


@dataclass(frozen=True)
class Step:
    """A step: its name and title, what it makes, how it runs.

    Attributes
    ----------
    made
        A file that is there once the step has been finished, for whatever settings.
    """

    name: str
    title: str
    made: Place
    run: Callable[[OnProgress], Summary]

    @property
    def is_finished(self) -> bool:
        """Whether it was finished before; changed inputs make it run anew."""
        return self.made.is_file()


@dataclass
class Chain:
    """A reproduction's inputs and folders, and the details that its finished steps told.

    Attributes
    ----------
    home
        Folder of everything that it makes.
    """

    recipe: Recipe
    settings: ReproduceSettings
    sources: Sources
    weights: Weights
    home: Place
    told: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def agnostic(self) -> Place:
        """The domain-agnostic sign encoder."""
        return self.home / "encoders" / "agnostic"

    @property
    def domain_aware(self) -> Place:
        """The domain-aware sign encoder."""
        return self.home / "encoders" / "domain_aware"

    @property
    def corpus(self) -> Place:
        """The corpus."""
        return self.home / "corpus"

    @property
    def segments(self) -> Place:
        """Pseudo-labels."""
        return self.home / "segments"

    @property
    def features(self) -> Place:
        """Sign features."""
        return self.home / "features"

    @property
    def models(self) -> Place:
        """The retrieval models, one a seed."""
        return self.home / "models"

    @property
    def is_mined(self) -> bool:
        """Whether pseudo-labels were mined before."""
        return (self.segments / STEP_FILE).is_file()

    @property
    def adapted(self) -> bool:
        """Whether mining found anything to adapt to."""
        return bool(self.told["mine"]["segments"])

    def steps(self) -> list[Step]:
        """All steps, in their order; they tell `self.told` what later ones need."""
        listed: list[tuple[str, str, Place, Callable[[OnProgress], Summary]]] = [
            ("import-encoder", "Import the published sign encoder", self.agnostic, self._import_encoder),
            ("import-clip", "Import CLIP", self.home / "clip", self._import_clip),
            *(self._reading(table) for table in self.sources.tables),
            ("corpus", "Join the splits, as in the paper", self.corpus, self._join),
            ("mine", "Mine pseudo-labels", self.segments, self._mine),
            ("adapt", "Adapt the sign encoder to them", self.domain_aware, self._adapt),
            ("features", "Extract sign features", self.features, self._extract),
        ]
        steps = [Step(name, title, out / STEP_FILE, run) for name, title, out, run in listed]
        seeds = self.settings.seeds
        title = f"Train the retrieval model with {seeds} seed{'s' if seeds > 1 else ''}"
        steps.append(Step("train", title, self.models / SEEDS_FILE, self._train))
        report = self.home / "report" / STEP_FILE
        return [*steps, Step("evaluate", "Evaluate the best on the test split", report, self._evaluate)]

    def _part(self, name: str) -> Place:
        return self.home / "read" / name

    def _reading(self, table: Table) -> tuple[str, str, Place, Callable[[OnProgress], Summary]]:
        searched = self.recipe.boxed and not table.boxed and table.format == self.recipe.format

        def run(advance: OnProgress) -> Summary:
            settings = reading(self.recipe, searched)
            out = self._part(table.name)
            return read_corpus(table.path, out, table.format, table.videos, settings, advance)

        return f"read-{table.name}", f"Read '{table.path.name}'", self._part(table.name), run

    def _import_encoder(self, _: OnProgress) -> Summary:
        assert self.weights.sign_encoder is not None
        imported = import_weights(self.weights.sign_encoder, self.agnostic)
        return _of_kind(imported, "sign_encoder", self.weights.sign_encoder)

    def _import_clip(self, _: OnProgress) -> Summary:
        assert self.weights.clip is not None
        return _of_kind(import_weights(self.weights.clip, self.home / "clip"), "clip", self.weights.clip)

    def _join(self, _: OnProgress) -> Summary:
        settings = self.settings
        choices = Choices(settings.texts, settings.validation_share, settings.training.seed)
        parts = {table.name: self._part(table.name) for table in self.sources.tables}
        return build_corpus(self.recipe, self.sources, parts, self.corpus, choices)

    def _mine(self, advance: OnProgress) -> Summary:
        return mine(self.corpus, self.agnostic, self.segments, self.settings.mining, advance)

    def _adapt(self, advance: OnProgress) -> Summary:
        if not self.adapted:
            return Summary(details={"left_out": NOT_ADAPTED})
        settings = self.settings.adaptation
        return train_sign_encoder(
            self.corpus, self.domain_aware, settings, self.segments, self.agnostic, advance
        )

    def _extract(self, advance: OnProgress) -> Summary:
        encoders = [self.agnostic, *([self.domain_aware] if self.adapted else [])]
        alpha, settings = self.recipe.alpha, self.settings.features
        return extract_features(
            self.corpus, encoders, alpha, self.features, settings, advance, [self.segments]
        )

    def _train(self, advance: OnProgress) -> Summary:
        settings = self.settings.training
        if not self.adapted:
            settings = settings.model_copy(update={"alpha": 1.0})
        seeds, clip = self.settings.seeds, self.home / "clip"
        return train_seeds(self.corpus, self.features, self.models, settings, seeds, clip, "test", advance)

    def _evaluate(self, _: OnProgress) -> Summary:
        best = self.models / self.told["train"]["best"]
        return evaluate(
            self.corpus, self.features, best, "test", self.home / "report", self.settings.evaluation
        )


def _of_kind(imported: Summary, kind: str, file: object) -> Summary:
    if imported.details["kind"] != kind:
        raise InputError(f"'{file}' holds weights of kind '{imported.details['kind']}', not '{kind}'")
    return imported
