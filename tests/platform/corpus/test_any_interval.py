"""Any interval of any kind of video is decoded to exactly the frames whose times lie in it."""

from pathlib import Path

import numpy as np
import pytest
from numbered_videos import Kind, empty_edit, numbers_of, write

from cico_platform.corpus.limits import ClipError
from cico_platform.corpus.video import decode_clip

COUNT = 120
EVEN = [40 * number for number in range(COUNT)]
# A telephone in low light: 30 frames a second, then 15, then a pause, then 30 again.
UNEVEN = np.cumsum([0] + [33] * 40 + [67] * 39 + [1500] + [33] * 39).tolist()
FAST = [
    Kind("ts", reordered=3),
    Kind("mp4", reordered=2, times=[time + 3000 for time in UNEVEN], keys=250, sound=True),
    Kind("avi", reordered=2, counted=True),
]
SLOW = [
    Kind("mp4", keys=1),
    Kind("mp4", keys=25, reordered=3),
    Kind("mp4", keys=250, reordered=3),
    Kind("mp4", times=UNEVEN, reordered=2),
    Kind("mp4", times=[time + 2000 for time in EVEN], sound=True, reordered=2),
    Kind("mp4", times=[time - 1000 for time in EVEN], reordered=2),
    Kind("mp4", times=[time - 520 for time in EVEN], reordered=2, keys=250),
    Kind("mkv", times=[time - 520 for time in EVEN], reordered=2),
    Kind("mp4", reordered=3, patch=empty_edit),
    Kind("mp4", "libx265", reordered=3),
    Kind("mp4", "mpeg4", reordered=2),
    Kind("mp4", "libvpx-vp9", keys=250),
    Kind("mp4", "libsvtav1", keys=50),
    Kind("mp4", keys=25, reordered=2, muxer={"movflags": "frag_keyframe+empty_moov"}),
    Kind("mov", "prores_ks", keys=1),
    Kind("mov", "mjpeg", keys=1, times=UNEVEN),
    Kind("mkv", keys=250, reordered=3),
    Kind("mkv", times=[time + 5000 for time in UNEVEN], reordered=2),
    Kind("mkv", "ffv1", keys=1),
    Kind("webm", "libvpx", keys=250, times=UNEVEN),
    Kind("webm", "libvpx-vp9", keys=25, muxer={"live": "1"}, times=UNEVEN),
    Kind("avi", counted=True, reordered=3, keys=250),
    Kind("avi", "mpeg4", counted=True, reordered=2),
    Kind("avi", "mjpeg", counted=True, keys=1),
    Kind("mpg", "mpeg2video", reordered=2),
    Kind("mpg", "mpeg1video", keys=12),
    Kind("vob", "mpeg2video", reordered=2, keys=15, sound=True, format="vob"),
    Kind("ts", keys=250, reordered=3),
    Kind("ts", times=[time + 9000 for time in UNEVEN], reordered=2),
    Kind("ts", "mpeg2video", reordered=2),
    Kind("ts", "libx265", reordered=3, keys=50),
    Kind("m2ts", reordered=3, sound=True),
    Kind("flv", reordered=2, keys=50),
    Kind("wmv", "wmv2", keys=25),
    Kind("asf", counted=True, reordered=2),
    Kind("h264", counted=True, reordered=3, format="h264"),
    Kind("hevc", "libx265", counted=True, reordered=3, format="hevc"),
    Kind("m4v", "mpeg4", counted=True, reordered=2, format="m4v"),
    Kind("m2v", "mpeg2video", counted=True, reordered=2, format="mpeg2video"),
    Kind("gif", "gif", keys=1),
    Kind("mxf", "mpeg2video", reordered=2),
    Kind("3gp", "mpeg4", keys=50, times=UNEVEN),
    Kind("ogv", "libvpx", keys=50, format="ogg"),
]


def check_intervals(path: Path, kind: Kind, intervals: int, seed: int) -> None:
    """Decode random intervals: the frames are those whose times lie in it, with these times."""
    times, hidden = kind.shown_times(COUNT), kind.hidden
    whole = decode_clip(path, numbered=True)
    assert numbers_of(whole.frames) == list(range(hidden, COUNT))
    assert whole.times == pytest.approx(times, abs=kind.precision)
    assert whole.source_frames is not None
    assert whole.source_frames.tolist() == list(range(hidden, COUNT))
    assert not whole.short
    assert not whole.truncated
    rng = np.random.default_rng(seed)
    middles = (times[1:] + times[:-1]) / 2  # never at a frame's very time: that is a question of rounding
    for _ in range(intervals):
        first, last = sorted(rng.choice(len(middles), 2, replace=False).tolist())
        clip = decode_clip(path, start=middles[first], end=middles[last], numbered=True)
        wanted = list(range(first + 1, last + 1))
        assert numbers_of(clip.frames) == [hidden + index for index in wanted]
        assert clip.times == pytest.approx(times[wanted], abs=kind.precision)
        assert clip.source_frames is not None
        assert clip.source_frames.tolist() == [hidden + index for index in wanted]
        assert not clip.short
    beyond = decode_clip(path, start=middles[-2], end=times[-1] + 60)
    assert numbers_of(beyond.frames) == [COUNT - 2, COUNT - 1]
    assert beyond.short
    with pytest.raises(ClipError, match="no frame"):
        decode_clip(path, start=times[-1] + 60, end=times[-1] + 61)


@pytest.mark.parametrize("kind", FAST, ids=lambda kind: kind.name)
def test_some_intervals_of_some_kinds(kind: Kind, tmp_path: Path) -> None:
    check_intervals(write(tmp_path / f"{kind.name}.{kind.suffix}", kind, COUNT), kind, 6, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SLOW, ids=lambda kind: kind.name)
def test_any_interval_of_every_kind(kind: Kind, tmp_path: Path) -> None:
    check_intervals(write(tmp_path / f"{kind.name}.{kind.suffix}", kind, COUNT), kind, 40, seed=2)
