"""Which part of a video is encoded is decided once, for corpora and queries alike."""

from pathlib import Path

import av
import numpy as np
import pytest
from sample_videos import signing, write

from cico_platform.corpus import framed_clip
from cico_platform.corpus.framed_clip import decode_framed_clip
from cico_platform.corpus.framing import WHOLE_FRAME, FramingSettings, frame_clip, framing_of
from cico_platform.corpus.isolation import decode_framed
from cico_platform.corpus.limits import ClipError, DecodedClip, DecodeLimits
from cico_platform.corpus.probe import probe
from cico_platform.corpus.signer_box import SEARCH_SIDE
from cico_platform.corpus.video import decode_clip

SIZES = {"square": (120, 120), "wide": (192, 108), "tall": (108, 192)}


def small(path: Path) -> DecodedClip:
    return decode_clip(path, longest=SEARCH_SIDE)


@pytest.fixture(scope="module", params=SIZES)
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody moves in frames 10 to 30 of 40."""
    path = tmp_path_factory.mktemp("framing") / f"{request.param}.mp4"
    return write(path, signing(size=SIZES[request.param]))


def test_the_signer_is_searched_for_whatever_the_shape(video: Path) -> None:
    framing = frame_clip(small(video), FramingSettings())
    assert framing.crop is not None
    assert framing.crop != WHOLE_FRAME
    assert framing.start == pytest.approx(9 / 25, abs=0.05)
    assert framing.end == pytest.approx(31 / 25, abs=0.3)
    assert framing.frames < 40


def test_only_a_square_video_counts_as_cut(video: Path) -> None:
    framing = frame_clip(small(video), FramingSettings("cut"))
    assert (framing.crop is None) == (video.stem == "square")
    assert framing.start is not None


def test_a_known_box_stays_and_only_still_frames_are_left_out(video: Path) -> None:
    box = [0.1, 0.2, 0.7, 0.9]
    framing = frame_clip(small(video), FramingSettings(), crop=box)
    assert framing.crop == box
    assert framing.start is not None
    kept = frame_clip(small(video), FramingSettings(trim=False), crop=box)
    assert (kept.start, kept.end, kept.crop, kept.frames) == (None, None, box, 40)
    assert frame_clip(small(video), FramingSettings("whole")).crop is None


def test_a_read_clip_and_a_query_have_the_same_frames(video: Path) -> None:
    row = {"index": 0, "path": str(video), "start": None, "end": None, "pixel_box": None, "crop": None}
    found = probe({**row, "find_signer": True, "trim": True})
    corpus = decode_clip(video, start=found["start"], end=found["end"], crop=found["crop"], size=48)
    query = decode_framed(video, FramingSettings(), 48)
    assert len(query.frames) == found["frames"]
    np.testing.assert_array_equal(query.frames, corpus.frames)
    np.testing.assert_array_equal(query.times, corpus.times)
    assert (query.fps, query.source_size) == (corpus.fps, corpus.source_size)


def test_no_frame_after_the_signing_comes_in_where_the_rate_varies(tmp_path: Path) -> None:
    # 10 frames a second at first, 100 from the last motion on: half of the average step holds several.
    times = [100 * min(i, 30) + 10 * max(i - 30, 0) for i in range(60)]
    path = write(tmp_path / "varies.mp4", signing(60), times=times)
    framing = frame_clip(small(path), FramingSettings())
    kept = decode_clip(path, start=framing.start, end=framing.end, size=16)
    assert len(kept.frames) == framing.frames


@pytest.mark.parametrize("settings", [FramingSettings(), FramingSettings("whole"), FramingSettings("cut")])
def test_a_query_is_decoded_once(
    settings: FramingSettings, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    real = av.open
    monkeypatch.setattr(av, "open", lambda *given, **named: opened.append(given) or real(*given, **named))
    once = decode_framed_clip(video, settings, 32)
    assert len(opened) == 1
    # A video whose frames are too large to be kept is decoded a second time, with the same result.
    monkeypatch.setattr(framed_clip, "KEPT_BYTES", 1000)
    twice = decode_framed_clip(video, settings, 32)
    np.testing.assert_array_equal(twice.frames, once.frames)
    np.testing.assert_array_equal(twice.times, once.times)


def test_what_cannot_be_decoded_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "letter.mp4").write_text("dear sir")
    with pytest.raises(ClipError, match="not a video"):
        decode_framed(tmp_path / "letter.mp4", FramingSettings(), 32)
    long = write(tmp_path / "long.mp4", signing(60))
    with pytest.raises(ClipError, match="more than 50 frames"):
        decode_framed(long, FramingSettings(), 32, DecodeLimits(frames=50))


def test_the_boxes_of_a_corpus_say_how_it_was_framed() -> None:
    found, given = [0.2, 0.0, 0.8, 1.0], WHOLE_FRAME
    assert framing_of([found, found, given, None]) == FramingSettings("signer")
    assert framing_of([given, given, found]) == FramingSettings("cut")
    assert framing_of([found], trim=False) == FramingSettings("signer", trim=False)
    assert framing_of([None, None, found]) == FramingSettings("whole", trim=False)
    assert framing_of([]) == FramingSettings("signer")
