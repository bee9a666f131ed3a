"""Both trainings take the steps that they took before there was one trainer: losses written down then."""

from pathlib import Path
from typing import Any

import pytest
import torch
from sample_stores import build_here
from tiny_corpus import LABELS, MICRO
from word_features import write_word_features

from cico_platform.training import session as session_module
from cico_platform.training.data.cuts import Cut, FrameSettings
from cico_platform.training.pairs import load_pairs
from cico_platform.training.retrieval import RetrievalSettings, fresh_model
from cico_platform.training.session import Session
from cico_platform.training.sign_encoder import SignEncoderSettings
from cico_platform.training.tasks import retrieval, sign_encoder
from cico_platform.training.workers import Worker

CPU = torch.device("cpu")
# Settings, losses of the first two epochs' steps (of an epoch's last step: of the epoch), and validation.
RETRIEVAL: list[tuple[dict[str, Any], list[float], dict[str, float]]] = [
    (
        {"epochs": 3, "lr": 1e-3},
        [3.552250, 2.989017, 2.970342, 1.916193, 1.510858, 1.59401],
        {"t2v_R@1": 100.0, "v2t_R@1": 91.67},
    ),
    (
        {"epochs": 2, "lr": 1e-3, "optimizer": "published", "noise": 0.1, "augment_kind": "deletion"},
        [3.540467, 3.619714, 3.364589, 2.564759, 2.163085, 2.227073],
        {"t2v_R@1": 75.0, "v2t_R@1": 87.5},
    ),
]
SIGN_ENCODER: list[tuple[dict[str, Any], list[float]]] = [
    (
        {"epochs": 3, "batch_size": 8, "windows_per_sample": 2},
        [1.439966, 1.566860, 1.716866, 1.5231, 1.405355, 1.589041, 1.394924, 1.4889],
    ),
    (
        {"epochs": 2, "batch_size": 6, "optimizer": "sgd", "schedule": "steps", "lr": 1e-2, "dropout": 0.5,
         "label_smoothing": 0.1, "backdrop": 0.0},
        [1.394029, 1.414734, 1.4474, 1.710687, 1.250970, 1.4682],
    ),
]  # fmt: skip


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    """One that is told every step."""
    monkeypatch.setattr(session_module, "SECONDS_BETWEEN_ROWS", 0.0)
    torch.set_num_threads(1)
    return Session(Worker(0, 1, CPU))


def losses(session: Session) -> list[float]:
    return [row["loss"] for row in session.rows if row["epoch"] <= 2]


@pytest.mark.parametrize(("values", "expected", "validation"), RETRIEVAL)
def test_the_retrieval_model_takes_the_same_steps(
    session: Session,
    tmp_path: Path,
    values: dict[str, Any],
    expected: list[float],
    validation: dict[str, float],
) -> None:
    corpus, features = write_word_features(tmp_path)
    settings = RetrievalSettings.model_validate({"batch_size": 32, "evaluate_every": 2, **values})
    train, held_out = (load_pairs(corpus, features, split) for split in ("train", "validation"))
    model = fresh_model(train, 16, settings)
    run = retrieval.RetrievalRun(settings, model.config, model.tokenizer, model.state_dict(), train, held_out)
    retrieval.train_loop(run, session)
    # Other processors round otherwise; another batch, augmentation or schedule is far beyond.
    assert losses(session) == pytest.approx(expected, abs=1e-3)
    told = {name: value for name, value in session.rows[5].items() if name in validation}
    assert told == pytest.approx(validation, abs=5)


@pytest.mark.parametrize(("values", "expected"), SIGN_ENCODER)
def test_the_sign_encoder_takes_the_same_steps(
    session: Session, tiny_corpus: Path, tmp_path: Path, values: dict[str, Any], expected: list[float]
) -> None:
    cuts = [Cut(f"sign-{label}-{signer}", label) for label in LABELS for signer in range(4)]
    build_here(tiny_corpus, cuts, tmp_path / "train", FrameSettings(size=MICRO.resize, backdrop=True))
    build_here(tiny_corpus, cuts[:3], tmp_path / "held_out", FrameSettings(size=MICRO.resize))
    sizes = {"width": MICRO.width, "frame_size": MICRO.frame_size, "precision": "float32"}
    settings = SignEncoderSettings.model_validate({**sizes, **values})
    stores = {"samples": str(tmp_path / "train"), "held_out": str(tmp_path / "held_out")}
    run = sign_encoder.SignEncoderRun(settings, MICRO, LABELS, None, False, **stores)
    sign_encoder.train_loop(run, session)
    assert losses(session) == pytest.approx(expected, abs=1e-2)
    assert 0 <= session.rows[-1]["accuracy"] <= 100
