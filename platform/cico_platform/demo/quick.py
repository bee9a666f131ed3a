"""A look before any training: drawn clips, shipped encoders, a shipped retrieval model, an index."""

from cico_platform import pretrained
from cico_platform.demo import corpora
from cico_platform.demo.checkpoints import take_shipped
from cico_platform.demo.places import Places
from cico_platform.demo.settings import DemoSettings
from cico_platform.demo.stages import Stages
from cico_platform.evaluation.evaluate import EvaluationSettings, evaluate
from cico_platform.pipelines.features import FeatureSettings, extract_features
from cico_platform.pipelines.indexing import build_index
from cico_platform.steps import Summary

STAGES = 5


def run_quick(settings: DemoSettings, places: Places, stages: Stages) -> None:
    """Draw clips, encode, score and index them with what the package ships; nothing is trained."""
    stages.run("synthesize", "Draw sign videos", lambda advance: corpora.draw(settings, places, advance))
    stages.run("pretrained", "Take the pretrained models", lambda _: _take_models(places))
    features = FeatureSettings(stride=pretrained.STRIDE)
    encoders = [places.agnostic, places.domain_aware]
    stages.run(
        "features",
        "Extract sign features",
        lambda advance: extract_features(
            places.corpus, encoders, pretrained.ALPHA, places.features, features, advance
        ),
    )
    report = stages.run("evaluate", "Score the sentences", lambda _: _score(places))
    stages.run(
        "index",
        "Index the videos",
        lambda advance: build_index(
            places.corpus, places.features, places.model, places.index, on_progress=advance
        ),
    )
    stages.search_samples(places)
    texts = report.details["texts"]
    right = round(report.details["t2v"]["R@1"] * texts / 100)
    stages.result.test_sentences = texts
    stages.note(
        "nothing was trained here: the sign encoders and the retrieval model come with the package, "
        "trained on other drawn signers and sentences"
    )
    stages.note(f"{right} of {texts} sentences find their own video first")


def _take_models(places: Places) -> Summary:
    folders = {
        "agnostic": places.agnostic,
        "domain_aware": places.domain_aware,
        "retrieval": places.model,
    }
    taken = [take_shipped(pretrained.checkpoint(name), out) for name, out in folders.items()]  # type: ignore[arg-type]
    return Summary(done=sum(summary.done for summary in taken), skipped=sum(s.skipped for s in taken))


def _score(places: Places) -> Summary:
    return evaluate(
        places.corpus, places.features, places.model, "test", places.report("quick"), EvaluationSettings()
    )
