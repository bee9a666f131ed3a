"""The demo in order: corpus, sign encoders, features, retrieval models, index, sample searches."""

import time
from pathlib import Path
from typing import Any

from cico_platform import pretrained
from cico_platform.config_files import as_yaml
from cico_platform.demo import corpora
from cico_platform.demo.checkpoints import take_encoder
from cico_platform.demo.places import Places
from cico_platform.demo.quick import STAGES as QUICK_STAGES
from cico_platform.demo.quick import run_quick
from cico_platform.demo.recipes import Recipe, enough, recipe
from cico_platform.demo.settings import DemoSettings, Variant, chosen_variants
from cico_platform.demo.stages import DemoResult, Stages
from cico_platform.evaluation.evaluate import EvaluationSettings, evaluate
from cico_platform.observability.memory import PeakMemory
from cico_platform.observability.stage_display import StageDisplay
from cico_platform.pipelines.features import extract_features
from cico_platform.pipelines.indexing import build_index
from cico_platform.pipelines.mine import mine, read_segments
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, replace_folder, write_json
from cico_platform.training.retrieval import train_retrieval
from cico_platform.training.sign_encoder import train_sign_encoder

RESULT_FILE = "demo.json"
# Corpus, agnostic encoder, mining, adaptation, features, evaluation, index; and each variant's training.
STAGES_BESIDE_VARIANTS = 7


def count_stages(settings: DemoSettings) -> int:
    """How many stages the demo has with these settings."""
    if settings.quick:
        return QUICK_STAGES
    # A person's clips are read, then composed into sentences.
    return STAGES_BESIDE_VARIANTS + len(chosen_variants(settings.variants)) + (settings.videos is not None)


def run_demo(settings: DemoSettings, display: StageDisplay) -> DemoResult:
    """Run the demo, or go on with it: a stage whose inputs have not changed is not repeated.

    Raises
    ------
    InputError
        If the person's clips cannot be used at all, or the settings do not go together.
    """
    corpora.check_inputs(settings)
    places, began = Places(settings.work_dir.resolve()), time.monotonic()
    places.root.mkdir(parents=True, exist_ok=True)
    result = DemoResult(corpora.kind_of(settings, None), index=str(places.index))
    stages = Stages(display, result)
    with PeakMemory() as peak:
        if settings.quick:
            run_quick(settings, places, stages)
        else:
            _Demo(settings, places, stages).run()
    result.peak_memory_gib, result.peak_memory_by = peak.gib, peak.by_title
    result.seconds = round(time.monotonic() - began, 1)
    write_json(places.root / RESULT_FILE, result.as_json())
    return result


class _Demo:
    """The demo that trains: each method is a few stages, and adds to the result."""

    def __init__(self, settings: DemoSettings, places: Places, stages: Stages) -> None:
        self.settings, self.places, self.stages, self.result = settings, places, stages, stages.result
        self.variants = chosen_variants(settings.variants)
        self.adapted = True

    def run(self) -> None:
        """All of it, in order."""
        self.make_corpus()
        self.make_agnostic_encoder()
        self.make_domain_aware_encoder()
        self.make_features()
        self.make_models()
        self.make_index()

    @property
    def recipe(self) -> Recipe:
        return recipe(self.result.kind, self.settings)

    def make_corpus(self) -> None:
        """The corpus, in one of three ways."""
        settings, places, run = self.settings, self.places, self.stages.run
        if settings.videos is None:
            run("synthesize", "Draw a sign corpus", lambda advance: corpora.draw(settings, places, advance))
        else:
            found = run("read", "Read your clips", lambda advance: corpora.read(settings, places, advance))
            self.note_quarantine(found)
            self.result.kind = corpora.kind_of(settings, found)
            if self.result.kind == "words":
                run(
                    "compose",
                    "Compose sentences of them",
                    lambda advance: corpora.compose(settings, places, advance),
                )
                self.stages.note(
                    "every text was a word: sentences were composed of the clips, and tested unseen"
                )
            else:
                replace_folder(places.source, places.corpus)
        self.result.test_sentences, _ = corpora.count_test(places.corpus)

    def make_agnostic_encoder(self) -> None:
        """The domain-agnostic sign encoder: trained on labelled signs where that is wanted, else copied."""
        places, settings, plan, run = self.places, self.settings, self.recipe, self.stages.run
        kind = self.result.kind
        if settings.encoder is None and (settings.from_scratch or kind == "words"):
            labelled = places.corpus
            if kind == "sentences":
                labelled = places.dictionary
                run(
                    "dictionary",
                    "Draw a dictionary",
                    lambda advance: corpora.draw_dictionary(settings, places, advance),
                )
            run(
                "agnostic",
                "Train the sign encoder on the dictionary",
                lambda advance: train_sign_encoder(
                    labelled, places.agnostic, plan.agnostic, on_progress=advance
                ),
            )
        else:
            start = settings.encoder or pretrained.checkpoint("agnostic")
            run("agnostic", "Take a pretrained sign encoder", lambda _: take_encoder(start, places.agnostic))
            if settings.encoder is None:
                self.stages.note(
                    "the domain-agnostic sign encoder comes with the package (--from-scratch trains it)"
                )
        if kind == "sentences":
            self.stages.note("no sign is labelled: the domain-agnostic sign encoder knows drawn signs only")

    def make_domain_aware_encoder(self) -> None:
        """Pseudo-labels, and the sign encoder that is adapted to them if they are enough."""
        places, plan = self.places, self.recipe
        mined = self.stages.run(
            "mine",
            "Mine pseudo-labels in the sentences",
            lambda advance: mine(places.corpus, places.agnostic, places.segments, plan.mining, advance),
        )
        least = plan.adaptation.min_support
        kept = [segment.label for segment in read_segments(places.segments, min_support=least)]
        segments, labels = len(kept), len(set(kept))
        self.adapted = enough(segments, labels, self.settings.small)
        found = mined.details["segments"]
        if not self.adapted:
            self.stages.note(
                f"of {found} mined pseudo-labels the sentences bear out only {segments}, "
                f"of {labels} signs: nothing was adapted"
            )
            return
        self.stages.note(
            f"{found} pseudo-labels were mined; the sign encoder was adapted to "
            f"the {segments}, of {labels} signs, that the sentences bear out"
        )
        self.stages.run(
            "domain_aware",
            "Adapt the sign encoder to them",
            lambda advance: train_sign_encoder(
                places.corpus,
                places.domain_aware,
                plan.adaptation,
                segments=places.segments,
                init=places.agnostic,
                on_progress=advance,
            ),
        )

    def make_features(self) -> None:
        """Features by both encoders; what mining has computed already is taken from there."""
        places, plan = self.places, self.recipe
        encoders: list[str | Path] = [places.agnostic, *([places.domain_aware] if self.adapted else [])]
        self.stages.run(
            "features",
            "Extract sign features",
            lambda advance: extract_features(
                places.corpus,
                encoders,
                plan.alpha,
                places.features,
                plan.features,
                advance,
                reuse=[places.segments],
            ),
        )

    def make_models(self) -> None:
        """The variants, trained and scored; the best on the validation split becomes the model."""
        scores: dict[str, float] = {}
        full = self.recipe.retrieval(self.variants[-1], self.adapted)
        self.places.settings.write_text(as_yaml(full, "the full method: cico ablate, cico train retrieval"))
        for variant in self.variants:
            trained = self.stages.run(
                f"train_{variant.name}",
                f"Train retrieval: {variant.title}",
                lambda advance, variant=variant: self.train(variant, advance),  # type: ignore[misc]
            )
            scores[variant.name] = float(sum(trained.details["validation"].values()))
        # On a tie the later variant, which has more of the method.
        self.result.chosen = max(reversed(list(scores)), key=scores.__getitem__)
        self.stages.run("evaluate", "Score unseen sentences", lambda _: self.score())
        replace_folder(self.places.variant(self.result.chosen), self.places.model)

    def train(self, variant: Variant, advance: OnProgress) -> Summary:
        """Train one variant."""
        settings = self.recipe.retrieval(variant, self.adapted)
        out = self.places.variant(variant.name)
        return train_retrieval(self.places.corpus, self.places.features, out, settings, on_progress=advance)

    def score(self) -> Summary:
        """Score every variant on the test split; the chosen one's report has a page."""
        total, seconds = Summary(), 0.0
        figures: dict[str, dict[str, Any]] = {}
        for variant in self.variants:
            places = self.places
            report = evaluate(
                places.corpus,
                places.features,
                places.variant(variant.name),
                "test",
                places.report(variant.name),
                EvaluationSettings(html=variant.name == self.result.chosen),
            )
            figures[variant.name] = {way: report.details[way] for way in ("t2v", "v2t")}
            seconds += report.seconds
            total = report
        self.result.variants = figures
        return Summary(total.done, total.skipped, total.quarantined, round(seconds, 3))

    def make_index(self) -> None:
        """The index, and what it answers to a few test sentences."""
        places = self.places
        self.stages.run(
            "index",
            "Index the videos",
            lambda advance: build_index(
                places.corpus, places.features, places.model, places.index, on_progress=advance
            ),
        )
        self.stages.search_samples(places)

    def note_quarantine(self, found: Summary) -> None:
        """Say which clips could not be used, and why."""
        for reason, count in found.details.get("reasons", {}).items():
            self.stages.note(f"{count} quarantined: {reason}")
