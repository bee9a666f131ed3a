"""A clip that is queried with its own file gives its own tokens, whatever its shape."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numbered_videos import Kind
from numbered_videos import write as write_numbered
from numpy.typing import NDArray
from tiny_corpus import LABELS, MICRO, write_encoder, write_video

from cico_model.config import TOWERS
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import save_retrieval_model
from cico_model.text import CorpusTokenizer
from cico_platform.corpus import isolation
from cico_platform.corpus.framing import WHOLE_FRAME, FramingSettings
from cico_platform.corpus.isolation import decode_framed
from cico_platform.corpus.manifest import INFO_FILE, Clip, Corpus, write_manifest
from cico_platform.corpus.probe import probe
from cico_platform.corpus.video import decode_clip
from cico_platform.encoding.clip_encoder import ClipEncoder, VideoEncoding
from cico_platform.encoding.long_videos import LongVideoSettings, read_long_video
from cico_platform.encoding.video_queries import encode_video
from cico_platform.index.clips import Hit
from cico_platform.index.ranking import hit_windows, tokens_of
from cico_platform.index.search import Searcher
from cico_platform.pipelines.decode import decode_row, source_rows
from cico_platform.pipelines.features import FeatureSettings, extract_features
from cico_platform.pipelines.index_source import read_source
from cico_platform.pipelines.indexing import build_index
from cico_platform.pipelines.stored_features import load_features

pytestmark = pytest.mark.usefixtures("ray_cluster")
# Width and height of the source, and frames in which somebody signs: of the first more than 64 windows.
SHAPES = {
    "square": (128, 128, 90),
    "wide": (192, 108, 40),
    "tall": (108, 192, 30),
    "phone": (192, 108, 60),  # half as many frames a second from its middle on
}
STILL = 12


def film(width: int, height: int, moving: int, seed: int = 0) -> NDArray[np.uint8]:
    """Frames [24 + moving, height, width, 3]: a square moves off the centre, after a still head."""
    rng = np.random.default_rng(seed)
    scene = rng.integers(40, 110, (height // 4, width // 4, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    frames = scene[None].repeat(moving + 2 * STILL, 0)
    for number in range(len(frames)):
        step = min(max(number - STILL, 0), moving)
        turn = step / 7
        x, y = round(18 + 12 * np.cos(turn)), round(height - 46 + 14 * np.sin(turn))
        frames[number, y : y + 14, x : x + 14] = (230, 40 + 2 * step, 60)
    return np.ascontiguousarray(frames)


def write_videos(folder: Path) -> dict[str, Path]:
    paths = {}
    for number, (name, (width, height, moving)) in enumerate(SHAPES.items()):
        paths[name] = folder / f"{name}.mp4"
        frames = film(width, height, moving, number)
        if name == "phone":
            write_varying(paths[name], frames)
        else:
            write_video(paths[name], frames)
    return paths


def write_varying(path: Path, frames: NDArray[np.uint8]) -> None:
    """25 frames a second, from the middle on 12.5."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = 40 * number + 40 * max(number - len(frames) // 2, 0)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def searched(name: str, path: Path) -> Clip:
    """A manifest's row as `cico corpus read` makes it of a file without a box."""
    row = {"index": 0, "path": str(path), "start": None, "end": None, "pixel_box": None, "crop": None}
    found = probe({**row, "find_signer": True, "trim": True})
    assert not found["reason"]
    place = {key: found[key] for key in ("start", "end", "crop", "frames", "fps")}
    return Clip(name, name, "test", str(path), name, name, **place)


def untrimmed(name: str, path: Path) -> Clip:
    """The same, where still heads and tails stay."""
    return replace(searched(name, path), start=None, end=None)


def cut(name: str, path: Path) -> Clip:
    """A row as `cico corpus compose` writes it: the video has been cut to the signer."""
    return replace(searched(name, path), crop=WHOLE_FRAME)


def whole(name: str, path: Path) -> Clip:
    """A row in which nobody has looked for the signer."""
    return Clip(name, name, "test", str(path), name, name)


@dataclass(frozen=True)
class Built:
    """An index of the videos, what it was made of, and what a search loads to encode queries."""

    corpus: Path
    features: Path
    model: Path
    videos: dict[str, Path]
    hits: dict[str, Hit]
    encoder: ClipEncoder

    @property
    def tokens(self) -> dict[str, NDArray[np.float32]]:
        return {name: np.asarray(tokens_of(hit), np.float32) for name, hit in self.hits.items()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Videos without a box, read, encoded by two encoders and indexed, nothing at its default."""
    folder = tmp_path_factory.mktemp("built")
    corpus, features, index = (folder / name for name in ("corpus", "features", "index"))
    videos = write_videos(folder / "videos")
    write_manifest(corpus, [searched(name, path) for name, path in videos.items()])
    encoders = [write_encoder(folder / name, seed) for seed, name in enumerate(("first", "second"))]
    save_model(folder / "model", window_stride=2)
    extract_features(corpus, list(encoders), 0.8, features, FeatureSettings(precision="float32", windows=20))
    build_index(corpus, features, folder / "model", index)
    with Searcher.open(index) as searcher:
        hits = searcher.index.fetch(searcher.info.collection, list(videos), tokens=True)
        found = {hit.video_id: hit for hit in hits}
        return Built(corpus, features, folder / "model", videos, found, searcher.clip_encoder())


def save_model(folder: Path, **changes: int) -> RetrievalModel:
    torch.manual_seed(0)
    config = replace(TOWERS["tiny"], feature_dim=MICRO.feature_dim, **changes)
    model = RetrievalModel(config, CorpusTokenizer.train(LABELS)).eval()
    save_retrieval_model(folder, model, {"alpha": 0.25})
    return model


def test_a_clip_without_a_box_gives_its_own_tokens(built: Built) -> None:
    for clip in Corpus(built.corpus).clips():
        assert clip.crop is not None
        assert clip.crop != WHOLE_FRAME
        assert clip.start is not None  # the still head is left out
    for name, path in built.videos.items():
        query = encode_video(path, built.encoder)
        assert query.tokens.shape == built.tokens[name].shape, name
        # The tower sees the clips of a shard as one padded batch: its sums round differently.
        np.testing.assert_allclose(query.tokens, built.tokens[name], atol=2e-3, err_msg=name)
    distances = [np.abs(a[:8] - b[:8]).max() for a in built.tokens.values() for b in built.tokens.values()]
    assert max(distances) > 0.05  # others' tokens are far from that


def test_the_features_of_a_query_are_the_stored_ones_bit_by_bit(built: Built) -> None:
    stored = load_features(built.features, 0.25).strided(2)
    for clip in Corpus(built.corpus).clips():
        starts, features = built.encoder.clip_features(decoded(clip, built.encoder.frame_size))
        own = stored.select([clip.video_id])
        assert starts == own.window_starts[0].tolist()
        np.testing.assert_array_equal(features, own.values[0])


def test_the_windows_of_a_clip_are_where_those_of_its_query_are(built: Built) -> None:
    for clip in Corpus(built.corpus).clips():
        hit, query = built.hits[clip.video_id], encode_video(clip.path, built.encoder)
        assert clip.start is not None
        times = np.asarray(hit_windows(hit)) + clip.start
        np.testing.assert_allclose(times, query.windows, atol=0.011, err_msg=clip.video_id)
        assert ("window_times" in hit.payload) == (clip.video_id == "phone")
    # Not what an index divided by a rate would tell: 16 frames take 0.64 s at first, 1.28 s later.
    lengths = [end - start for start, end in encode_video(built.videos["phone"], built.encoder).windows]
    assert (min(lengths), max(lengths)) == (pytest.approx(0.64, abs=0.01), pytest.approx(1.28, abs=0.05))


def test_a_collection_knows_how_its_videos_became_features(built: Built) -> None:
    assert built.encoder.encoding == VideoEncoding(1, 20, "float32", FramingSettings("signer"))
    assert built.encoder.alpha == 0.25  # the share that the model was trained with


@pytest.mark.parametrize(
    ("row", "trim", "framing", "own"),
    [
        (searched, True, FramingSettings("signer"), {*SHAPES}),
        (untrimmed, False, FramingSettings("signer", trim=False), {*SHAPES}),
        (whole, True, FramingSettings("whole", trim=False), {*SHAPES}),
        # Wide and tall videos have not been cut to the signer: a phone's video is searched.
        (cut, True, FramingSettings("cut"), {"square"}),
    ],
)
def test_queries_are_framed_as_the_clips_of_their_collection(
    row: Callable[[str, Path], Clip],
    trim: bool,
    framing: FramingSettings,
    own: set[str],
    built: Built,
    tmp_path: Path,
) -> None:
    clips = [row(name, path) for name, path in built.videos.items()]
    write_manifest(tmp_path, clips)
    (tmp_path / INFO_FILE).write_text(json.dumps({"trim": trim}))
    found = read_source(tmp_path, built.features, built.model, "clips").info.encoding.framing
    assert found == framing
    same = set()
    for clip in clips:
        query, wanted = decode_framed(clip.path, found, 48).frames, decoded(clip, 48)
        if query.shape == wanted.shape and (query == wanted).all():
            same.add(clip.video_id)
    assert same == own


def test_the_windows_of_a_long_video_have_the_features_of_the_clip(built: Built, tmp_path: Path) -> None:
    every = replace(built.encoder, model=save_model(tmp_path / "model"), encoding=VideoEncoding(1, 500))
    encoder = replace(every, encoding=replace(every.encoding, framing=FramingSettings("signer")))
    for clip in Corpus(built.corpus).clips():
        assert clip.start is not None
        found = read_long_video(clip.path, encoder, LongVideoSettings(stride=1))
        starts, features = encoder.clip_features(decoded(clip, encoder.frame_size))
        moments = decode_clip(clip.path, size=8).times
        first = int(np.searchsorted(moments, clip.start - 1e-3))
        rows = [first + start for start in starts]
        np.testing.assert_allclose([found.times[row][0] for row in rows], moments[rows], atol=1e-3)
        # Other windows lie beside them: the layers that windows share round differently.
        np.testing.assert_allclose(found.features[rows], features, rtol=0.01, atol=0.01)


def test_two_encoders_share_one_decode(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    real = isolation._ask
    monkeypatch.setattr(
        isolation, "_ask", lambda request, limits: asked.append(request) or real(request, limits)
    )
    assert len(built.encoder.encoders) == 2
    encode_video(built.videos["wide"], built.encoder)
    assert len(asked) == 1
    asked.clear()
    # 64 frames of 25 a second in chunks of a second: three of them, and whether it goes on after the longest.
    read_long_video(built.videos["wide"], built.encoder, LongVideoSettings(chunk=1.0))
    assert len(asked) == 4


def decoded(clip: Clip, size: int) -> NDArray[np.uint8]:
    """The frames that the pipelines decode of a clip."""
    frames, error = decode_row(*source_rows(Corpus("."), [clip]), size)
    assert frames is not None, error
    return frames


def test_a_long_video_whose_picture_stands_still_is_read_to_its_end(built: Built, tmp_path: Path) -> None:
    """A pause of several chunks, as on a shared screen; a picture that begins chunks after the sound."""
    times = [*range(0, 1000, 40), *range(5000, 7000, 40)]
    path = write_numbered(tmp_path / "pause.mp4", Kind("mp4", times=times, keys=10), len(times))
    video = read_long_video(path, built.encoder, LongVideoSettings(chunk=1.0))
    begins = [begin for begin, _ in video.times]
    assert begins == sorted(begins)
    assert max(end for _, end in video.times) == pytest.approx(7.0, abs=0.05)
    late = Kind("mp4", times=[time + 3500 for time in range(0, 2000, 40)], sound=True, keys=10)
    path = write_numbered(tmp_path / "late.mp4", late, 50)
    video = read_long_video(path, built.encoder, LongVideoSettings(chunk=1.0))
    assert video.times[0][0] == pytest.approx(3.5, abs=0.05)
    assert video.times[-1][1] == pytest.approx(5.5, abs=0.05)
