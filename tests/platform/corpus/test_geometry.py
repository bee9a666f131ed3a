"""Pictures come out as a player shows them: upright, in their true aspect, of one size, without combing."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numbered_videos import numbered, numbers_of
from numpy.typing import NDArray
from PIL import Image
from sample_videos import set_matrix
from sample_videos import write as write_mp4

from cico_platform.corpus.video import decode_clip

Frames = NDArray[np.uint8]
RED, GREEN, BLUE, DARK = (220, 30, 30), (30, 200, 30), (30, 30, 220), (20, 20, 20)
NAMES = {RED: "red", GREEN: "green", BLUE: "blue", DARK: "dark"}
# Display matrices (a, b, c, d): where the stored corners red | green over blue | dark are shown.
ORIENTATIONS = {
    "as it is": ((1, 0, 0, 1), "red green blue dark"),
    "a quarter turn": ((0, 1, -1, 0), "blue red dark green"),
    "a half turn": ((-1, 0, 0, -1), "dark blue green red"),
    "three quarters of a turn": ((0, -1, 1, 0), "green dark red blue"),
    "mirrored": ((-1, 0, 0, 1), "green red dark blue"),
    "upside down": ((1, 0, 0, -1), "blue dark red green"),
    "transposed": ((0, 1, 1, 0), "red blue green dark"),
    "antitransposed": ((0, -1, -1, 0), "dark green blue red"),
}


def corners(width: int = 128, height: int = 64) -> Frames:
    """A frame with a colour in each corner."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[: height // 2, : width // 2], frame[: height // 2, width // 2 :] = RED, GREEN
    frame[height // 2 :, : width // 2], frame[height // 2 :, width // 2 :] = BLUE, DARK
    return frame


def seen(frame: Frames) -> str:
    """The colours in the corners of a frame, row after row."""
    height, width = frame.shape[:2]
    found = []
    for y in (height // 4, 3 * height // 4):
        for x in (width // 4, 3 * width // 4):
            apart = {name: np.abs(frame[y, x].astype(int) - colour).sum() for colour, name in NAMES.items()}
            found.append(min(apart, key=lambda name: apart[name]))
    return " ".join(found)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_each_of_the_eight_orientations_is_shown_upright(orientation: str, tmp_path: Path) -> None:
    matrix, shown = ORIENTATIONS[orientation]
    path = write_mp4(tmp_path / "turned.mp4", np.stack([corners()] * 3))
    clip = decode_clip(set_matrix(path, matrix))
    turned = matrix[0] == 0
    assert clip.frames.shape[1:3] == ((128, 64) if turned else (64, 128))
    assert clip.source_size == ((64, 128) if turned else (128, 64))
    assert [seen(frame) for frame in clip.frames] == [shown] * 3


def write_stream(
    path: Path, frames: list[Frames], codec: str = "libx264", pixels: str = "yuv420p", **settings: object
) -> Path:
    """Write frames with settings of PyAV's stream (`sample_aspect_ratio`) or codec (`options`, `flags`)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        for name, value in settings.items():
            setattr(stream if name == "options" else stream.codec_context, name, value)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("aspect", "shown"),
    [("16/9", (256, 128)), ("8/11", (105, 128)), ("1/1", (144, 128)), ("99/1", (144, 128))],
)
def test_pixels_that_are_not_square_are_made_square(
    aspect: str, shown: tuple[int, int], tmp_path: Path
) -> None:
    path = write_stream(tmp_path / "wide.mp4", [corners(144, 128)] * 4, sample_aspect_ratio=Fraction(aspect))
    clip = decode_clip(path)
    assert clip.source_size == shown
    assert clip.stored_size == (144, 128)
    assert clip.frames.shape == (4, shown[1], shown[0], 3)
    assert seen(clip.frames[0]) == "red green blue dark"
    small = decode_clip(path, longest=64).frames
    assert small.shape[2] / small.shape[1] == pytest.approx(shown[0] / shown[1], rel=0.03)


def test_turned_pixels_that_are_not_square_are_wide_the_other_way(tmp_path: Path) -> None:
    path = write_stream(tmp_path / "wide.mp4", [corners(144, 128)] * 2, sample_aspect_ratio=Fraction(2))
    clip = decode_clip(set_matrix(path, (0, 1, -1, 0)))
    assert clip.source_size[0] * 288 == pytest.approx(clip.source_size[1] * 128, rel=0.02)
    assert seen(clip.frames[0]) == "blue red dark green"


def test_a_size_that_changes_in_mid_stream_is_scaled_to_the_first(tmp_path: Path) -> None:
    first = write_stream(tmp_path / "a.ts", [numbered(n) for n in range(25)])
    second = write_stream(tmp_path / "b.ts", [numbered(n, 384, 192) for n in range(25, 50)])
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    clip = decode_clip(both)
    assert clip.frames.shape == (50, 96, 192, 3)
    assert numbers_of(clip.frames) == list(range(50))
    assert clip.times == pytest.approx(np.arange(50) / 25, abs=1e-4)


def test_interlaced_frames_are_deinterlaced(tmp_path: Path) -> None:
    """A bar moves 6 pixels a field: combed frames have its edges twice, row by row in turn."""
    frames = []
    for number in range(12):
        frame = np.full((96, 192, 3), 60, np.uint8)
        for field in (0, 1):
            left = 20 + 6 * (2 * number + field)
            frame[field::2, left : left + 20] = 220
        frames.append(frame)
    flags = av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me
    path = write_stream(tmp_path / "tape.mpg", frames, "mpeg2video", bit_rate=8_000_000, flags=flags)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    clip = decode_clip(path)
    assert len(clip.frames) == 12
    assert clip.times == pytest.approx(np.arange(12) / 25, abs=1e-3)
    combed = np.abs(np.diff(np.stack(frames)[2:-2].astype(int), axis=1)).mean()
    shown = np.abs(np.diff(clip.frames[2:-2].astype(int), axis=1)).mean()
    assert shown < combed / 3
    part = decode_clip(path, start=0.1, end=0.3)
    assert np.array_equal(part.frames, clip.frames[3:8])  # the fields around its ends are known, too
    left = [int(np.flatnonzero(frame[40, :, 0] > 140)[0]) for frame in clip.frames]
    assert all(abs(x - (20 + 12 * n)) <= 8 for n, x in enumerate(left))  # each frame is its own moment


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_the_default_track_is_taken_and_a_cover_never(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"tracks.{suffix}"
    with av.open(str(path), "w") as container:
        streams = []
        for codec, pixels in (("mjpeg", "yuvj420p"), ("libx264", "yuv420p"), ("libx264", "yuv420p")):
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 192, 96, pixels
            streams.append(stream)
        cover, other, shown = streams
        cover.disposition = av.stream.Disposition.attached_pic
        other.disposition = av.stream.Disposition(0)
        shown.disposition = av.stream.Disposition.default
        container.mux(cover.encode(av.VideoFrame.from_ndarray(numbered(4095), format="rgb24")))
        for number in range(10):
            for stream, shift in ((other, 1000), (shown, 0)):
                frame = av.VideoFrame.from_ndarray(numbered(number + shift), format="rgb24")
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    assert numbers_of(decode_clip(path).frames) == list(range(10))


def test_frame_folders_are_upright_and_in_eight_bits(tmp_path: Path) -> None:
    turned = tmp_path / "turned"
    turned.mkdir()
    shown = {1: 0, 2: 4, 3: 2, 4: 5, 5: 6, 6: 1, 7: 7, 8: 3}  # EXIF's number: the orientation above
    for number, orientation in shown.items():
        exif = Image.Exif()
        exif[0x0112] = number
        Image.fromarray(corners()).save(turned / f"{number}.jpg", exif=exif, quality=95, subsampling=0)
        clip = decode_clip(turned)
        assert seen(clip.frames[-1]) == list(ORIENTATIONS.values())[orientation][1]
        (turned / f"{number}.jpg").unlink()
    grey = tmp_path / "grey"
    grey.mkdir()
    ramp = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None], 32, 0)
    Image.fromarray(ramp).save(grey / "1.png")
    Image.fromarray(ramp.astype(np.uint16) * 257).save(grey / "2.png")
    clip = decode_clip(grey)
    for frame in clip.frames:
        assert np.array_equal(frame, np.repeat(ramp[:, :, None], 3, 2))


def test_frames_of_a_folder_that_differ_in_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    Image.fromarray(corners()).save(tmp_path / "1.png")
    Image.fromarray(corners(64, 32)).save(tmp_path / "2.png")
    frames = decode_clip(tmp_path).frames
    assert frames.shape == (2, 64, 128, 3)
    assert seen(frames[1]) == "red green blue dark"
