"""Features that a run stored are not computed again, and only where nothing that decides them has changed."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_corpus import write_corpus, write_encoder

from cico_platform.corpus.manifest import Corpus
from cico_platform.pipelines.features import FeatureSettings, extract_features
from cico_platform.pipelines.mine import MineSettings, mine
from cico_platform.pipelines.stored_features import load_features
from cico_platform.steps import Summary

pytestmark = pytest.mark.usefixtures("ray_cluster")
SETTINGS = {"precision": "float32", "windows": 20}
ALPHA = 0.25


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus", train=6)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("encoders")
    return [write_encoder(folder / name, seed) for seed, name in enumerate(("first", "second", "third"))]


@pytest.fixture(scope="module")
def mined(corpus: Path, encoders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mined") / "segments"
    mine(corpus, encoders[0], out, MineSettings.model_validate(SETTINGS))
    return out


@pytest.fixture(scope="module")
def computed(corpus: Path, encoders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of the first two encoders, all of them computed."""
    out = tmp_path_factory.mktemp("computed") / "features"
    assert extract(corpus, encoders[:2], out).details["reused"] == 0
    return out


def extract(corpus: Path, encoders: list[Path], out: Path, *reuse: Path, **changed: object) -> Summary:
    settings = FeatureSettings.model_validate({**SETTINGS, **changed})
    return extract_features(corpus, list(encoders), ALPHA, out, settings, reuse=list(reuse))


def usable(corpus: Path, split: str | None = None) -> list[str]:
    clips = list(Corpus(corpus).clips(split=split, labelled=False))
    return [clip.video_id for clip in clips if clip.video_id not in ("text", "outside")]


def assert_close(one: NDArray[np.float16], other: NDArray[np.float16]) -> None:
    """Equal up to float32's rounding (the windows were in other batches), then to half precision."""
    values, others = one.astype(np.float32), other.astype(np.float32)
    np.testing.assert_allclose(values, others, rtol=2e-3, atol=1e-4 * float(np.abs(others).max()))


def assert_same(one: Path, other: Path) -> None:
    for alpha in (0.0, 1.0):
        first, second = load_features(one, alpha), load_features(other, alpha)
        assert first.video_ids == second.video_ids
        for starts, others in zip(first.window_starts, second.window_starts, strict=True):
            np.testing.assert_array_equal(starts, others)
        for values, others in zip(first.values, second.values, strict=True):
            assert_close(values, others)


def test_features_of_mined_clips_are_taken_from_mining(
    corpus: Path, encoders: list[Path], mined: Path, computed: Path, tmp_path: Path
) -> None:
    summary = extract(corpus, encoders[:2], tmp_path / "features", mined)
    assert summary.details["reused"] == len(usable(corpus, "train"))
    assert (summary.done, summary.quarantined) == (len(usable(corpus)), 2)
    assert_same(tmp_path / "features", computed)


def test_an_encoder_alone_needs_no_frames_of_mined_clips(
    corpus: Path, encoders: list[Path], mined: Path, computed: Path, tmp_path: Path
) -> None:
    extract(corpus, encoders[:1], tmp_path / "features", mined)
    alone, both = load_features(tmp_path / "features"), load_features(computed, 1.0)
    for values, others in zip(alone.values, both.values, strict=True):
        assert_close(values, others)


def test_another_second_encoder_computes_its_own_features_only(
    corpus: Path, encoders: list[Path], computed: Path, tmp_path: Path
) -> None:
    pair = [encoders[0], encoders[2]]
    summary = extract(corpus, pair, tmp_path / "features", computed)
    assert summary.details["reused"] == len(usable(corpus))
    extract(corpus, pair, tmp_path / "anew")
    assert_same(tmp_path / "features", tmp_path / "anew")


@pytest.mark.parametrize("changed", [{"windows": 10}, {"stride": 2}, {"precision": "bfloat16"}])
def test_features_of_other_settings_are_not_taken(
    corpus: Path, encoders: list[Path], mined: Path, tmp_path: Path, changed: dict[str, object]
) -> None:
    summary = extract(corpus, encoders[:1], tmp_path / "features", mined, **changed)
    assert summary.details["reused"] == 0


def test_features_of_a_changed_clip_are_not_taken(encoders: list[Path], tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", train=3)
    mine(corpus, encoders[0], tmp_path / "segments", MineSettings.model_validate(SETTINGS))
    first, second, *_ = usable(corpus, "train")
    videos = corpus / "videos"
    (videos / f"{first}.mp4").write_bytes((videos / f"{second}.mp4").read_bytes())
    summary = extract(corpus, encoders[:1], tmp_path / "features", tmp_path / "segments")
    assert summary.details["reused"] == len(usable(corpus, "train")) - 1
    extract(corpus, encoders[:1], tmp_path / "anew")
    assert_same(tmp_path / "features", tmp_path / "anew")
