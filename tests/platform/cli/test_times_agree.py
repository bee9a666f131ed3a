"""All verbs give the same times of a video whose sound comes first and whose rate changes within a clip."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from cico_command import Cico
from numbered_videos import Kind, write

from cico_model.config import WINDOW_FRAMES
from cico_platform import pretrained
from cico_platform.corpus.manifest import Corpus

# The picture begins at 2 s; 25 frames a second until 5 s, then 12.5.
TIMES = [2000 + 40 * n for n in range(75)] + [5000 + 80 * n for n in range(75)]
START, END, FIRST_FRAME, LAST_FRAME = 3.0, 7.0, 25, 99
TEXT = "the boy reads a book"


def run(cico: Cico, *arguments: object) -> dict[str, Any]:
    ended = cico(*arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def near(found: float, allowed: np.ndarray) -> bool:
    """Whether a time is one of some, up to rounding to hundredths of a second."""
    return bool(np.abs(allowed - found).min() <= 0.0051)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_reading_frames_features_and_search_agree_on_times(cico: Cico, tmp_path: Path) -> None:
    video = write(tmp_path / "talk.mp4", Kind("mp4", times=TIMES, sound=True, keys=50, reordered=2), 150)
    (tmp_path / "labels.csv").write_text(f"file,text,start,end\ntalk.mp4,{TEXT},{START},{END}\n")
    corpus, features, index = (tmp_path / name for name in ("corpus", "features", "index"))
    run(cico, "corpus", "read", tmp_path / "labels.csv", "--out", corpus)
    (clip,) = Corpus(corpus).clips()
    assert (clip.start, clip.end, clip.frames) == (START, END, LAST_FRAME - FIRST_FRAME + 1)
    assert run(cico, "corpus", "inspect", corpus)["hours"] == round((END - START) / 3600, 4)

    run(cico, "corpus", "frames", corpus, "talk", "--out", tmp_path / "frames")
    seen = json.loads((tmp_path / "frames/frames.json").read_text())
    assert seen["source_frames"] == list(range(FIRST_FRAME, LAST_FRAME + 1))
    assert seen["times"] == [TIMES[number] / 1000 for number in seen["source_frames"]]

    names: tuple[pretrained.Name, ...] = ("agnostic", "domain_aware", "retrieval")
    agnostic, aware, model = map(pretrained.checkpoint, names)
    encoders = ("--encoder", agnostic, "--encoder", aware, "--alpha", pretrained.ALPHA)
    run(cico, "features", corpus, *encoders, "--stride", pretrained.STRIDE, "--out", features)
    (shard,) = features.glob("part-*.parquet")
    row = pq.read_table(shard).to_pylist()[0]
    boundaries = np.array([*seen["times"], END]) - START
    starts = np.array(row["window_starts"])
    windows = np.stack([boundaries[starts], boundaries[starts + WINDOW_FRAMES]], axis=1)
    np.testing.assert_allclose(np.reshape(row["window_times"], (-1, 2)), windows, atol=1e-6)

    # A word's span is the middle half of its windows.
    quarter = (windows[:, 1] - windows[:, 0]) / 4
    begins, ends = windows[:, 0] + quarter, windows[:, 1] - quarter
    run(cico, "index", corpus, "--features", features, "--model", model, "--index", index)
    for query in ((TEXT,), ("--video", video)):
        (found,) = run(cico, "search", *query, "--index", index)["results"]
        assert (found["start"], found["end"]) == (START, END)
        assert found["words"]
        for word in found["words"]:
            assert near(word["start"], begins), word
            assert near(word["end"], ends), word

    inside = run(cico, "search", TEXT, "--inside", video, "--index", index)
    assert inside["read_seconds"] == pytest.approx(TIMES[-1] / 1000, abs=0.081)
    assert inside["ranges"]
    for found in inside["ranges"]:
        assert TIMES[0] / 1000 <= found["start"] < found["end"] <= TIMES[-1] / 1000 + 0.08
        for word in found["words"]:
            assert found["start"] <= word["start"] < word["end"] <= found["end"]
