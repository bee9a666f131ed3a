"""A clip that is queried with its own file gives its own tokens, whatever its shape."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_corpus import LABELS, MICRO, write_encoder, write_video

from cico_model.config import TOWERS
from cico_model.model import RetrievalModel
from cico_model.retrieval_checkpoint import save_retrieval_model
from cico_model.text import CorpusTokenizer
from cico_platform.corpus.framing import WHOLE_FRAME, FramingSettings
from cico_platform.corpus.manifest import INFO_FILE, Clip, Corpus, write_manifest
from cico_platform.corpus.probe import probe
from cico_platform.encoding.clip_encoder import ClipEncoder
from cico_platform.encoding.long_videos import LongVideoSettings, read_long_video
from cico_platform.encoding.video_queries import encode_video
from cico_platform.index.search import Searcher
from cico_platform.pipelines.features import FeatureSettings, extract_features
from cico_platform.pipelines.indexing import build_index
from cico_platform.pipelines.stored_features import load_features

pytestmark = pytest.mark.usefixtures("ray_cluster")
FPS = 25
# Width and height of the source, and frames in which somebody signs: of the first more than 64 windows.
SHAPES = {"square": (128, 128, 90), "wide": (192, 108, 40), "tall": (108, 192, 30)}
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
        write_video(paths[name], film(width, height, moving, number))
    return paths


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
    """An index of the three videos, and what it was made of."""

    corpus: Path
    features: Path
    index: Path
    videos: dict[str, Path]

    def tokens(self) -> dict[str, NDArray[np.float32]]:
        """Of each video, as the index holds them."""
        with Searcher.open(self.index) as searcher:
            hits = searcher.index.fetch(searcher.info.collection, list(self.videos), tokens=True)
            return {hit.video_id: np.asarray(hit.tokens, np.float32) for hit in hits}

    def encoder(self) -> ClipEncoder:
        """As a search loads it."""
        with Searcher.open(self.index) as searcher:
            return searcher.clip_encoder()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    found = {name: write_encoder(folder / name, seed) for seed, name in enumerate(("first", "second"))}
    for stride in (1, 2):
        torch.manual_seed(0)
        config = replace(TOWERS["tiny"], feature_dim=MICRO.feature_dim, window_stride=stride)
        model = RetrievalModel(config, CorpusTokenizer.train(LABELS))
        save_retrieval_model(folder / f"model-{stride}", model, {"alpha": 0.25})
        found[f"model-{stride}"] = folder / f"model-{stride}"
    return found


def build(
    folder: Path,
    models: dict[str, Path],
    row: Callable[[str, Path], Clip],
    settings: FeatureSettings | None = None,
    stride: int = 1,
    trim: bool = True,
) -> Built:
    videos = write_videos(folder / "videos")
    built = Built(folder / "corpus", folder / "features", folder / "index", videos)
    write_manifest(built.corpus, [row(name, path) for name, path in videos.items()])
    (built.corpus / INFO_FILE).write_text(json.dumps({"trim": trim}))
    encoders = [models["first"], models["second"]]
    extract_features(built.corpus, encoders, 0.8, built.features, settings)
    build_index(built.corpus, built.features, models[f"model-{stride}"], built.index)
    return built


@pytest.fixture(scope="module")
def read(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The usual: videos without a box, read, encoded and indexed."""
    return build(tmp_path_factory.mktemp("read"), models, searched)


def assert_own_tokens(built: Built) -> None:
    tokens, encoder = built.tokens(), built.encoder()
    assert set(tokens) == set(SHAPES)
    for name, path in built.videos.items():
        query = encode_video(path, encoder)
        assert query.tokens.shape == tokens[name].shape, name
        # The tower sees the clips of a shard as one padded batch: its sums round differently.
        np.testing.assert_allclose(query.tokens, tokens[name], atol=2e-3, err_msg=name)


def test_a_clip_without_a_box_gives_its_own_tokens(read: Built) -> None:
    for clip in Corpus(read.corpus).clips():
        assert clip.crop is not None
        assert clip.crop != WHOLE_FRAME
        assert clip.start is not None  # the still head is left out
    assert_own_tokens(read)


def test_the_features_of_a_query_are_the_stored_ones_bit_by_bit(read: Built) -> None:
    encoder, stored = read.encoder(), load_features(read.features, 0.25)
    for clip in Corpus(read.corpus).clips():
        frames = decoded(clip, encoder.frame_size)
        starts, features = encoder.clip_features(frames)
        (kept,) = stored.select([clip.video_id]).values
        assert starts == stored.select([clip.video_id]).window_starts[0].tolist()
        np.testing.assert_array_equal(features, kept)


def test_other_windows_of_a_model_are_those_of_its_queries(models: dict[str, Path], tmp_path: Path) -> None:
    settings = FeatureSettings(precision="float32", windows=20)
    built = build(tmp_path, models, searched, settings, stride=2)
    encoding = built.encoder().encoding
    assert (encoding.stride, encoding.windows, encoding.precision) == (1, 20, "float32")
    assert_own_tokens(built)


@pytest.mark.parametrize(
    ("row", "trim", "framing"),
    [
        (untrimmed, False, FramingSettings("signer", trim=False)),
        (whole, True, FramingSettings("whole", trim=False)),
    ],
)
def test_queries_are_framed_as_the_clips_of_the_collection(
    row: Callable[[str, Path], Clip],
    trim: bool,
    framing: FramingSettings,
    models: dict[str, Path],
    tmp_path: Path,
) -> None:
    built = build(tmp_path, models, row, trim=trim)
    assert built.encoder().encoding.framing == framing
    assert_own_tokens(built)


def test_a_square_query_of_a_collection_of_cut_videos_is_taken_whole(
    models: dict[str, Path], tmp_path: Path
) -> None:
    built = build(tmp_path, models, cut)
    encoder, tokens = built.encoder(), built.tokens()
    assert encoder.encoding.framing == FramingSettings("cut")
    query = encode_video(built.videos["square"], encoder)
    np.testing.assert_allclose(query.tokens, tokens["square"], atol=2e-3)
    # Any other shape has not been cut: a phone's video is searched for its signer.
    wide = encode_video(built.videos["wide"], encoder)
    assert np.abs(wide.tokens - tokens["wide"]).max() > 0.05


def test_the_windows_of_a_long_video_have_the_features_of_the_clip(read: Built) -> None:
    encoder = read.encoder()
    for clip in Corpus(read.corpus).clips():
        assert clip.start is not None
        found = read_long_video(clip.path, encoder, LongVideoSettings(stride=1))
        starts, features = encoder.clip_features(decoded(clip, encoder.frame_size))
        first = round(clip.start * FPS)
        rows = [first + start for start in starts]
        times = [found.times[row][0] for row in rows]
        np.testing.assert_allclose(times, [(first + start) / FPS for start in starts], atol=1e-3)
        # Other windows lie beside them: the layers that windows share round differently.
        np.testing.assert_allclose(found.features[rows], features, rtol=0.05, atol=0.05)


def decoded(clip: Clip, size: int) -> NDArray[np.uint8]:
    """The frames that the pipelines decode of a clip."""
    from cico_platform.pipelines.decode import decode_row, source_rows

    frames, error = decode_row(*source_rows(Corpus("."), [clip]), size)
    assert frames is not None, error
    return frames
