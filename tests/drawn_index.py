"""An index of clips of the drawn corpus, for the page: two pages of results, calibrated probabilities."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tiny_index import index_videos

from cico_model.calibration import Calibration
from cico_platform.corpus.encode import write_video
from cico_platform.corpus.synthesis.filming import FPS, Take, rehearse, shoot
from cico_platform.corpus.synthesis.production import film_shot
from cico_platform.corpus.synthesis.screenplay import SynthesisSettings, screenplay
from cico_platform.index.base import open_index
from cico_platform.index.search import Searcher
from cico_platform.index.serving_info import live_serving, write_serving

CLIPS = 14
# Words that no clip says.
NONSENSE = "Xylophones quack"


class DrawnIndex(NamedTuple):
    """Where it is, its clips' files and what they say; and one film in which several sentences are signed."""

    index: Path
    videos: list[Path]
    sentences: list[str]
    long: Path


def build_drawn_index(folder: Path) -> DrawnIndex:
    """Draw the clips, train models that know them by heart, fill `folder/index`."""
    settings = SynthesisSettings(
        train=1, validation=1, test=CLIPS, signers=1, held_out_signers=5, second_takes=0.0
    )
    shots = [shot for shot in screenplay(settings) if shot.label is None and shot.split == "test"]
    (folder / "videos").mkdir(parents=True)
    for shot in shots:
        film_shot(shot, folder / "videos")
    videos = [folder / "videos" / f"{shot.take.video_id}.mp4" for shot in shots]
    sentences = [shot.text_original for shot in shots]
    index_videos(folder, videos, sentences, sign_language="procedural", licence="CC0-1.0")
    calibrate(folder / "index", sentences)
    signed = tuple(gloss for shot in shots[6:9] for gloss in shot.take.glosses)
    take = Take("long", signed, shots[0].take.who, seed=0)
    write_video(folder / "long.mp4", shoot(take, rehearse(take)), FPS, 20, preset="superfast")
    return DrawnIndex(folder / "index", videos, sentences, folder / "long.mp4")


def calibrate(index: Path, sentences: list[str]) -> None:
    """Probabilities that tell what the clips say from what none says: 90% for the least sure of the ones."""
    with Searcher.open(index) as searcher:
        right = min(searcher.by_text(sentence, 1)[0]["score"] for sentence in sentences)
        wrong = float(searcher.by_text(NONSENSE, 1)[0]["score"])
    assert wrong < right
    slope = 2 * np.log(9) / (right - wrong)
    known = Calibration(slope, -slope * (right + wrong) / 2, 0.5, 1.0, 1.0, len(sentences))
    with open_index(str(index), must_exist=True) as opened:
        info = live_serving(opened, "clips")
        write_serving(opened, replace(info, calibrations={"text": known, "video": known}))
