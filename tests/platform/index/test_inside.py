"""A sentence is found in a long video, at the time at which it is signed."""

import os
from pathlib import Path

import numpy as np
import pytest
from tiny_index import FPS, SENTENCES, write_long_video

from cico_model.inside import sliding_groups, suppress
from cico_platform.encoding.long_videos import LongVideoSettings, read_long_video
from cico_platform.encoding.texts import encode_texts
from cico_platform.errors import InputError
from cico_platform.index.inside import find_inside
from cico_platform.index.search import Searcher
from cico_platform.index.serving_info import clip_encoder_of


def test_sliding_groups_cover_every_window_at_every_length() -> None:
    times = [(0.08 * i, 0.08 * i + 0.64) for i in range(200)]
    for length in (1.0, 3.0):
        groups = sliding_groups(times, [length])
        assert {i for group in groups for i in group} == set(range(200))
        assert all(times[g[-1]][1] - times[g[0]][0] <= length + 1e-6 for g in groups)
    assert sliding_groups([(0.0, 0.64)], [0.1]) == [[0]]


def test_of_spans_that_overlap_only_the_best_is_kept() -> None:
    rng = np.random.default_rng(0)
    spans = [
        (s, s + length) for s, length in zip(rng.uniform(0, 60, 200), rng.uniform(1, 6, 200), strict=True)
    ]
    scores = rng.random(200)
    kept = suppress(spans, scores, 200)
    assert kept[0] == scores.argmax()
    assert list(scores[kept]) == sorted(scores[kept], reverse=True)
    for number, one in enumerate(kept):
        for other in kept[:number]:
            shared = min(spans[one][1], spans[other][1]) - max(spans[one][0], spans[other][0])
            assert shared <= 0.2 * min(spans[i][1] - spans[i][0] for i in (one, other)) + 1e-9


@pytest.fixture(scope="module")
def long(
    tiny_index: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[int, tuple[float, float]]]:
    """All sentences in one video beside the index, and when each is signed."""
    folder = tmp_path_factory.mktemp("inside")
    (folder / "index").symlink_to(tiny_index / "index")
    return folder, write_long_video(folder / "long.mp4")


def test_a_sentence_is_found_where_it_is_signed(long: tuple[Path, dict[int, tuple[float, float]]]) -> None:
    folder, when = long
    found = 0
    with Searcher.open(folder / "index") as searcher:
        encoder = clip_encoder_of(searcher.info, searcher.model, threads=1)
        # Short chunks, so that sentences lie across their borders.
        settings = LongVideoSettings(chunk=3.0)
        video = read_long_video(folder / "long.mp4", encoder, settings)
        starts = [start for start, _ in video.times]
        np.testing.assert_allclose(np.diff(starts), 2 / FPS, atol=0.05)
        assert max(end for _, end in video.times) == pytest.approx(
            max(end for _, end in when.values()), abs=0.1
        )
        for number, (start, end) in when.items():
            query = encode_texts(searcher.model, [SENTENCES[number]])[0]
            ranges = find_inside(video, query, searcher.model, limit=3).ranges
            best = ranges[0]
            assert [one.score for one in ranges] == sorted((one.score for one in ranges), reverse=True)
            assert all(best.start <= w.start < w.end <= best.end for w in best.words)
            shared = min(end, best.end) - max(start, best.start)
            found += shared > 0.5 * (best.end - best.start)
    assert found >= 6  # of eight; by chance about one


def test_no_part_ends_after_the_video_however_its_chunks_fall(
    long: tuple[Path, dict[int, tuple[float, float]]],
) -> None:
    folder, when = long
    ends = max(end for _, end in when.values())
    with Searcher.open(folder / "index") as searcher:
        encoder = clip_encoder_of(searcher.info, searcher.model, threads=1)
        for left in (1, 5):  # frames in the last chunk
            settings = LongVideoSettings(chunk=(ends - left / FPS) / 2)
            read = read_long_video(folder / "long.mp4", encoder, settings)
            assert max(end for _, end in read.times) == pytest.approx(ends, abs=2 / FPS)
            assert max(end for _, end in read.times) <= ends + 1e-6
            assert min(end - start for start, end in read.times) == pytest.approx(16 / FPS)


def test_rows_of_the_searcher_and_a_file_that_is_no_video(
    long: tuple[Path, dict[int, tuple[float, float]]], tmp_path: Path
) -> None:
    folder, _ = long
    (tmp_path / "letter.mp4").write_text("dear sir")
    with Searcher.open(folder / "index") as searcher:
        whole = searcher.inside(SENTENCES[0], folder / "long.mp4", limit=1)
        (row,) = whole["ranges"]
        assert set(row) == {"start", "end", "score", "words"}
        write_long_video(tmp_path / "torn.mkv")
        os.truncate(tmp_path / "torn.mkv", (tmp_path / "torn.mkv").stat().st_size // 2)
        torn = searcher.inside(SENTENCES[0], tmp_path / "torn.mkv", limit=1)
        assert 1 < torn["read_seconds"] < 0.8 * whole["read_seconds"]
        with pytest.raises(InputError, match="can't be searched in"):
            searcher.inside("boy", tmp_path / "letter.mp4")
