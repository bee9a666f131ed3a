"""The result of the demo, its stages and its sample searches, with and without training."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from cico_platform.corpus.manifest import Corpus
from cico_platform.demo.places import Places
from cico_platform.demo.settings import CorpusKind
from cico_platform.index.search import Searcher
from cico_platform.observability.stage_display import StageDisplay
from cico_platform.settings import OnProgress
from cico_platform.steps import Summary

SAMPLE_QUERIES = 3
FOUND_EACH = 3
Body = Callable[[OnProgress], Summary]


@dataclass
class DemoResult:
    """Result of the demo; `variants` is None if nothing was trained."""

    kind: CorpusKind
    stages: dict[str, Summary] = field(default_factory=dict)
    variants: dict[str, dict[str, Any]] | None = None
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
        result = {**asdict(self), "stages": stages, **totals}
        return {name: value for name, value in result.items() if value is not None}


class Stages:
    """Runs stages one after another and adds what they tell to the result."""

    def __init__(self, display: StageDisplay, result: DemoResult) -> None:
        self.display, self.result = display, result

    def run(self, name: str, title: str, body: Body) -> Summary:
        """Run one stage under its title."""
        with self.display.stage(title) as (advance, finish):
            summary = body(advance)
            finish(summary)
        self.result.stages[name] = summary
        return summary

    def note(self, message: str) -> None:
        """Remember something that the summary should say."""
        self.result.notes.append(message)

    def search_samples(self, places: Places) -> None:
        """Search the index for a few of the test sentences."""
        clips = list(Corpus(places.corpus).clips(split="test", labelled=False))
        step = max(1, len(clips) // SAMPLE_QUERIES)
        with Searcher.open(places.index) as searcher:
            for clip in clips[::step][:SAMPLE_QUERIES]:
                found = searcher.by_text(clip.text_original, FOUND_EACH)
                self.result.queries.append(
                    {"text": clip.text_original, "signed": clip.video_id, "found": found}
                )
