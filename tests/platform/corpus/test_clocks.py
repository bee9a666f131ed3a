"""Times are those of a player's clock, whatever a file's timestamps do, and what is missing is told."""

from pathlib import Path

import av
import numpy as np
import pytest
from numbered_videos import Kind, numbered, numbers_of, write
from PIL import Image

from cico_platform.corpus.limits import ClipError
from cico_platform.corpus.video import decode_clip


def joined(path: Path, *parts: Path) -> Path:
    """Files one behind the other, as recorders and downloaders leave them."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_the_clock_goes_on_where_timestamps_of_a_joined_stream_start_anew(codec: str, tmp_path: Path) -> None:
    suffix = "ts" if codec == "libx264" else "mpg"
    first = write(tmp_path / f"a.{suffix}", Kind(suffix, codec, reordered=2), 100)
    second = write(tmp_path / f"b.{suffix}", Kind(suffix, codec, reordered=2), 90)
    third = write(tmp_path / f"c.{suffix}", Kind(suffix, codec, reordered=2), 80)
    path = joined(tmp_path / f"all.{suffix}", first, second, third)
    shown = [*range(100), *range(90), *range(80)]
    whole = decode_clip(path)
    assert numbers_of(whole.frames) == shown
    assert whole.times == pytest.approx(np.arange(270) / 25, abs=1e-3)
    for start in (0.98, 3.5, 3.9, 4.5, 7.3, 7.7, 9.1):
        clip = decode_clip(path, start=start, end=start + 1, numbered=True)
        first_frame = int(np.ceil(start * 25 - 1e-6))
        assert numbers_of(clip.frames) == shown[first_frame : first_frame + 25]
        assert clip.source_frames is not None
        assert clip.source_frames.tolist() == list(range(first_frame, first_frame + 25))
        assert not clip.short


def test_a_long_gap_in_a_recording_does_not_move_what_follows(tmp_path: Path) -> None:
    times = [*range(0, 1000, 40), *range(5000, 6000, 40)]
    path = write(tmp_path / "gap.ts", Kind("ts", times=times), 50)
    clip = decode_clip(path, start=5.2, end=5.6)
    assert numbers_of(clip.frames) == list(range(30, 40))
    assert clip.times[0] == pytest.approx(5.2, abs=1e-3)


def test_a_picture_that_begins_after_the_sound_has_the_time_of_the_sound(tmp_path: Path) -> None:
    kind = Kind("mp4", times=[2000 + 40 * number for number in range(100)], sound=True, reordered=2)
    path = write(tmp_path / "late.mp4", kind, 100)
    clip = decode_clip(path, start=3.0, end=4.0)
    assert numbers_of(clip.frames) == list(range(25, 50))
    assert clip.times[0] == pytest.approx(3.0)
    assert not clip.short
    early = decode_clip(path, start=1.0, end=3.0)
    assert numbers_of(early.frames) == list(range(25))
    assert early.short
    assert not early.truncated
    with pytest.raises(ClipError, match="no frame"):
        decode_clip(path, start=0.5, end=1.5)


def test_a_browser_recording_has_the_rate_of_its_frames(tmp_path: Path) -> None:
    """Times in milliseconds, no duration, no index, and pauses."""
    times = [round(1000 * number / 30) for number in range(60)]
    times += [time + 5000 for time in times]
    kind = Kind("webm", "libvpx", times=times, keys=100, muxer={"live": "1"})
    path = write(tmp_path / "recording.webm", kind, 120)
    with av.open(str(path)) as container:
        assert container.duration is None
    assert decode_clip(path, end=1.9).fps == pytest.approx(30, rel=0.01)
    whole = decode_clip(path)
    assert whole.fps == pytest.approx(119 / (times[-1] / 1000))
    paused = decode_clip(path, start=3.0, end=6.0)
    assert numbers_of(paused.frames) == list(range(60, 90))
    assert not paused.short
    assert paused.boundaries()[-1] == pytest.approx(6.0)


def test_a_telephone_in_low_light_has_the_times_of_its_frames(tmp_path: Path) -> None:
    times = np.cumsum([0] + [33] * 59 + [67] * 60).tolist()
    path = write(tmp_path / "phone.mp4", Kind("mp4", times=times), 120)
    clip = decode_clip(path)
    assert clip.fps == pytest.approx(119 / (times[-1] / 1000))
    assert clip.boundaries()[:-1] == pytest.approx(np.array(times) / 1000, abs=1e-3)
    assert decode_clip(path, start=0.5, end=1.5).fps == pytest.approx(1000 / 33, rel=0.01)
    assert decode_clip(path, start=3.0, end=4.0).fps == pytest.approx(1000 / 67, rel=0.01)


CUT = {
    "mp4": Kind("mp4", keys=10, muxer={"movflags": "faststart"}),
    "fragmented": Kind("mp4", keys=10, muxer={"movflags": "frag_keyframe+empty_moov"}),
    "mkv": Kind("mkv", keys=10),
    "live webm": Kind("webm", "libvpx", keys=10, muxer={"live": "1"}),
    "avi": Kind("avi", "mpeg4", keys=10),
    "flv": Kind("flv", keys=10),
    "wmv": Kind("wmv", "wmv2", keys=10),
    "ts": Kind("ts", keys=10),
    "ogg": Kind("ogv", "libvpx", keys=10, format="ogg"),
    "gif": Kind("gif", "gif", keys=1),
}


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_is_cut_says_so(name: str, tmp_path: Path) -> None:
    kind = CUT[name]
    good = write(tmp_path / f"good.{kind.suffix}", kind, 100)
    assert not decode_clip(good).truncated
    content = good.read_bytes()
    path = tmp_path / f"cut.{kind.suffix}"
    path.write_bytes(content[: len(content) * 6 // 10 + 1])
    whole = decode_clip(path)
    assert whole.truncated
    assert 20 < len(whole.frames) < 90
    last = float(whole.times[-1])
    inside = decode_clip(path, start=0.1, end=last - 0.3)
    assert not inside.truncated
    assert not inside.short
    over = decode_clip(path, start=last - 0.3, end=last + 1.0)
    assert over.truncated
    assert over.short
    with pytest.raises(ClipError, match="breaks off"):
        decode_clip(path, start=last + 0.5, end=last + 1.0)


def test_an_interval_beyond_a_whole_file_is_short_and_not_truncated(tmp_path: Path) -> None:
    path = write(tmp_path / "good.mp4", Kind("mp4"), 50)
    for end, short in ((2.0, False), (2.03, False), (2.2, True), (9.0, True)):
        clip = decode_clip(path, start=1.0, end=end)
        assert numbers_of(clip.frames) == list(range(25, 50))
        assert clip.short is short
        assert not clip.truncated
        assert clip.boundaries()[-1] == pytest.approx(2.0)


def test_a_stream_that_begins_between_key_frames_is_read_from_its_first_whole_frame(tmp_path: Path) -> None:
    content = write(tmp_path / "good.ts", Kind("ts", reordered=2, keys=20), 100).read_bytes()
    path = tmp_path / "late.ts"
    path.write_bytes(content[len(content) * 3 // 10 // 188 * 188 :])
    clip = decode_clip(path)
    numbers = numbers_of(clip.frames)
    assert numbers == list(range(numbers[0], 100))
    steps = np.diff(clip.times)
    assert steps == pytest.approx(np.full(len(steps), 0.04), abs=1e-3)
    part = decode_clip(path, start=float(clip.times[20]), end=float(clip.times[30]))
    assert numbers_of(part.frames) == numbers[20:30]


def test_timestamps_that_jump_far_ahead_go_on_in_a_recording(tmp_path: Path) -> None:
    """Recorders that begin anew join streams whose clocks are hours apart."""
    first = write(tmp_path / "a.ts", Kind("ts"), 50)
    second = write(tmp_path / "b.ts", Kind("ts", muxer={"output_ts_offset": "5000"}), 50)
    path = joined(tmp_path / "all.ts", first, second)
    clip = decode_clip(path, start=2.5, end=3.0)
    assert numbers_of(clip.frames) == list(range(13, 25))
    assert decode_clip(path).times == pytest.approx(np.arange(100) / 25, abs=1e-3)


def test_hidden_files_and_broken_pictures_of_a_folder_are_left_out(tmp_path: Path) -> None:
    for number in range(10):
        Image.fromarray(numbered(number)).save(tmp_path / f"{number}.png")
    (tmp_path / "._3.png").write_bytes(b"resource fork")
    (tmp_path / "notes.txt").write_text("text")
    clip = decode_clip(tmp_path, start=0.05, end=0.21)
    assert numbers_of(clip.frames) == [2, 3, 4, 5]
    assert clip.times == pytest.approx([0.08, 0.12, 0.16, 0.2])
    assert not clip.truncated
    (tmp_path / "4.png").write_bytes((tmp_path / "4.png").read_bytes()[:60])
    clip = decode_clip(tmp_path)
    assert numbers_of(clip.frames) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert clip.truncated
    assert clip.source_frames is not None
    assert clip.source_frames.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert decode_clip(tmp_path, end=9.0).short


@pytest.mark.parametrize(
    ("codec", "suffix"), [("libx264", "h264"), ("libx265", "hevc"), ("mpeg2video", "m2v")]
)
def test_raw_video_has_the_rate_that_it_says(codec: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"raw.{suffix}"
    with av.open(str(path), "w", format={"m2v": "mpeg2video"}.get(suffix, suffix)) as container:
        stream = container.add_stream(codec, rate=50)
        stream.width, stream.height, stream.pix_fmt = 192, 96, "yuv420p"
        stream.options = {"preset": "veryfast", "x265-params": "log-level=none"} if "lib" in codec else {}
        for number in range(100):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        container.mux(stream.encode())
    clip = decode_clip(path, start=1.0, end=1.5)
    assert numbers_of(clip.frames) == list(range(50, 75))
    assert clip.fps == pytest.approx(50)


def test_joined_recordings_of_a_browser_go_on(tmp_path: Path) -> None:
    kind = Kind("webm", "libvpx", keys=20)
    parts = [write(tmp_path / f"{name}.webm", kind, count) for name, count in (("a", 80), ("b", 70))]
    path = joined(tmp_path / "both.webm", *parts)
    shown = [*range(80), *range(70)]
    assert numbers_of(decode_clip(path).frames) == shown
    for start in (1.02, 3.02, 3.5, 5.02):
        first = int(np.ceil(start * 25))
        assert numbers_of(decode_clip(path, start=start, end=start + 0.4).frames) == shown[first : first + 10]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_stream_without_key_frames_is_read_from_its_beginning(suffix: str, tmp_path: Path) -> None:
    """Periodic intra refresh: a picture is whole some frames after decoding has begun."""
    options = {"x264-params": "keyint=25:intra-refresh=1:bframes=0"}
    path = write(tmp_path / f"refresh.{suffix}", Kind(suffix, options=options), 120)
    clip = decode_clip(path, start=3.02, end=4.02)
    assert numbers_of(clip.frames) == list(range(76, 101))
