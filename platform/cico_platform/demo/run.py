"""The whole way in order: corpus, sign encoders, features, four retrieval models, index, three searches."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cico_platform.config_files import as_yaml
from cico_platform.corpus.manifest import Corpus
from cico_platform.demo import corpora
from cico_platform.demo.places import Places
from cico_platform.demo.progress import StageDisplay
from cico_platform.demo.recipes import Recipe, enough, recipe
from cico_platform.demo.settings import VARIANTS, CorpusKind, DemoSettings, Variant
from cico_platform.index.search import Searcher
from cico_platform.observability.memory import PeakMemory
from cico_platform.pipelines.features import extract_features
from cico_platform.pipelines.indexing import build_index
from cico_platform.pipelines.mine import mine, read_segments
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary, replace_folder, write_json
from cico_platform.training.evaluate import EvaluationSettings, evaluate
from cico_platform.training.retrieval import train_retrieval
from cico_platform.training.sign_encoder import train_sign_encoder

RESULT_FILE = "demo.json"
SAMPLE_QUERIES = 3
STAGES = 11  # one more where a person's own clips are read
FOUND_EACH = 3
Body = Callable[[OnProgress], Summary]


@dataclass
class DemoResult:
    """What the demo found; `as_json` is what `--json` prints."""

    kind: CorpusKind
    stages: dict[str, Summary] = field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    chosen: str = ""
    test_sentences: int = 0
    queries: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    peak_memory_gib: float = 0.0
    peak_memory_by: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    index: str = ""

    def as_json(self) -> dict[str, Any]:
        """The result as one JSON object."""
        counts = ("seconds", "done", "skipped", "quarantined")
        stages = {
            name: {count: getattr(summary, count) for count in counts}
            for name, summary in self.stages.items()
        }
        totals = {c: sum(s[c] for s in stages.values()) for c in counts if c != "seconds"}
        return {**asdict(self), "stages": stages, **totals}


def run_demo(settings: DemoSettings, display: StageDisplay) -> DemoResult:
    """Run the demo, or go on with it: a stage whose inputs have not changed is not repeated.

    Raises
    ------
    InputError
        If the person's clips cannot be used at all.
    """
    corpora.check_inputs(settings)
    places, began = Places(settings.work_dir.resolve()), time.monotonic()
    places.root.mkdir(parents=True, exist_ok=True)
    with PeakMemory() as peak:
        demo = _Demo(settings, places, display)
        demo.make_corpus()
        demo.make_encoders()
        demo.make_models()
        demo.make_index()
    result = demo.result
    result.peak_memory_gib, result.peak_memory_by = peak.gib, peak.by_title
    result.seconds = round(time.monotonic() - began, 1)
    write_json(places.root / RESULT_FILE, result.as_json())
    return result


class _Demo:
    """The demo as it goes: each method is a few stages, and adds to the result."""

    def __init__(self, settings: DemoSettings, places: Places, display: StageDisplay) -> None:
        self.settings, self.places, self.display = settings, places, display
        self.result = DemoResult(corpora.kind_of(settings, None), index=str(places.index))
        self.adapted = True

    @property
    def recipe(self) -> Recipe:
        return recipe(self.result.kind, self.settings.seed, self.settings.small)

    def stage(self, name: str, title: str, body: Body) -> Summary:
        """Run one stage under its title."""
        with self.display.stage(title) as (advance, finish):
            summary = body(advance)
            finish(summary)
        self.result.stages[name] = summary
        return summary

    def make_corpus(self) -> None:
        """The corpus, in one of three ways."""
        settings, places = self.settings, self.places
        if settings.videos is None:
            self.stage("synthesize", "Draw a sign corpus", lambda _: corpora.draw(settings, places))
        else:
            found = self.stage("read", "Read your clips", lambda _: corpora.read(settings, places))
            self.note_quarantine(found)
            self.result.kind = corpora.kind_of(settings, found)
            if self.result.kind == "words":
                self.stage(
                    "compose", "Compose sentences of them", lambda _: corpora.compose(settings, places)
                )
                self.note("every text was a word: sentences were composed of the clips, and tested unseen")
            else:
                replace_folder(places.source, places.corpus)
                self.stage(
                    "dictionary", "Draw a dictionary", lambda _: corpora.draw_dictionary(settings, places)
                )
                self.note("no sign is labelled: the domain-agnostic encoder learned the synthetic dictionary")
        self.result.test_sentences, _ = corpora.count_test(places.corpus)

    def make_encoders(self) -> None:
        """Both sign encoders, and the features."""
        places, plan = self.places, self.recipe
        labelled = places.dictionary if self.result.kind == "sentences" else places.corpus
        self.stage(
            "agnostic",
            "Train the sign encoder on the dictionary",
            lambda advance: train_sign_encoder(labelled, places.agnostic, plan.agnostic, on_progress=advance),
        )
        mined = self.stage(
            "mine",
            "Mine pseudo-labels in the sentences",
            lambda advance: mine(places.corpus, places.agnostic, places.segments, plan.mining, advance),
        )
        kept = [
            row["label"]
            for row in read_segments(places.segments)
            if row["support"] >= plan.adaptation.min_support
        ]
        segments, labels = len(kept), len(set(kept))
        self.adapted = enough(segments, labels, self.settings.small)
        encoders: list[str | Path] = [places.agnostic]
        if self.adapted:
            self.note(
                f"{mined.details['segments']} pseudo-labels were mined; the sign encoder was adapted to "
                f"the {segments}, of {labels} signs, that the sentences bear out"
            )
            self.stage(
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
            encoders.append(places.domain_aware)
        else:
            self.note(
                f"of {mined.details['segments']} mined pseudo-labels the sentences bear out only {segments}, "
                f"of {labels} signs: nothing was adapted"
            )
        self.stage(
            "features",
            "Extract sign features",
            lambda advance: extract_features(
                places.corpus, encoders, plan.alpha, places.features, on_progress=advance
            ),
        )

    def make_models(self) -> None:
        """The four variants, trained and scored; the best on the validation split becomes the model."""
        scores: dict[str, float] = {}
        full = self.recipe.retrieval(VARIANTS[-1], self.adapted)
        self.places.settings.write_text(as_yaml(full, "the full method: cico ablate, cico train retrieval"))
        for variant in VARIANTS:
            trained = self.stage(
                f"train_{variant.name}",
                f"Train retrieval: {variant.title}",
                lambda advance, variant=variant: self.train(variant, advance),  # type: ignore[misc]
            )
            scores[variant.name] = float(sum(trained.details["validation"].values()))
        # On a tie the later variant, which has more of the method.
        self.result.chosen = max(reversed(list(scores)), key=scores.__getitem__)
        self.stage("evaluate", "Score unseen sentences", lambda _: self.score())
        replace_folder(self.places.variant(self.result.chosen), self.places.model)

    def train(self, variant: Variant, advance: OnProgress) -> Summary:
        """Train one variant."""
        settings = self.recipe.retrieval(variant, self.adapted)
        out = self.places.variant(variant.name)
        return train_retrieval(self.places.corpus, self.places.features, out, settings, on_progress=advance)

    def score(self) -> Summary:
        """Score every variant on the test split; the chosen one's report has a page."""
        total, seconds = Summary(), 0.0
        for variant in VARIANTS:
            places = self.places
            report = evaluate(
                places.corpus,
                places.features,
                places.variant(variant.name),
                "test",
                places.report(variant.name),
                EvaluationSettings(html=variant.name == self.result.chosen),
            )
            self.result.variants[variant.name] = {way: report.details[way] for way in ("t2v", "v2t")}
            seconds += report.seconds
            total = report
        return Summary(total.done, total.skipped, total.quarantined, round(seconds, 3))

    def make_index(self) -> None:
        """The index, and what it answers to a few test sentences."""
        places = self.places
        self.stage(
            "index",
            "Index the videos",
            lambda advance: build_index(
                places.corpus, places.features, places.model, places.index, on_progress=advance
            ),
        )
        clips = Corpus(places.corpus).clips(split="test", labelled=False)
        step = max(1, len(clips) // SAMPLE_QUERIES)
        with Searcher.open(places.index) as searcher:
            for clip in clips[::step][:SAMPLE_QUERIES]:
                found = searcher.by_text(clip.text_original, FOUND_EACH)
                self.result.queries.append(
                    {"text": clip.text_original, "signed": clip.video_id, "found": found}
                )

    def note(self, message: str) -> None:
        """Remember something that the summary should say."""
        self.result.notes.append(message)

    def note_quarantine(self, found: Summary) -> None:
        """Say which clips could not be used, and why."""
        for reason, count in found.details.get("reasons", {}).items():
            self.note(f"{count} quarantined: {reason}")
