"""Clips that lack frames are counted where their features are computed."""

import shutil
from pathlib import Path

import av
import pyarrow.parquet as pq
import pytest
from tiny_corpus import film, write_encoder, write_video

from cico_platform.corpus.manifest import Clip, write_manifest
from cico_platform.pipelines.features import FeatureSettings, extract_features
from cico_platform.pipelines.mine import MineSettings, mine, read_segments

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good clip, one that the manifest knows to be cut, one that leaves its video, and one cut since."""
    folder = tmp_path_factory.mktemp("corpus")
    for name in ("good", "known", "since"):
        write_video(folder / f"{name}.mp4", film(["red", "blue"], 1))
    faststart(folder / "since.mp4")
    content = (folder / "since.mp4").read_bytes()
    (folder / "since.mp4").write_bytes(content[: len(content) * 8 // 10])
    clips = [
        Clip("good", "t", "train", "good.mp4", "red blue", "red blue"),
        Clip("known", "t", "train", "known.mp4", "red blue", "red blue", end=1.0, truncated=True),
        Clip("beyond", "t", "train", "good.mp4", "red blue", "red blue", start=0.5, end=9.0),
        Clip("since", "t", "train", "since.mp4", "red blue", "red blue"),
    ]
    write_manifest(folder, clips)
    return folder


def faststart(path: Path) -> None:
    """Move the index of an MP4 to its front, without encoding again."""
    whole = path.with_suffix(".slow.mp4")
    shutil.move(path, whole)
    with (
        av.open(str(whole)) as source,
        av.open(str(path), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)


def test_features_and_mining_count_them(corpus: Path, tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder", favourite="red")
    settings = MineSettings(precision="float32")
    mined = mine(corpus, encoder, tmp_path / "mined", settings)
    assert (mined.details["truncated"], mined.details["short"]) == (2, 1)
    plain = FeatureSettings(precision="float32")
    extracted = extract_features(corpus, [encoder], None, tmp_path / "features", plain)
    assert (extracted.details["truncated"], extracted.details["short"]) == (2, 1)
    reused = extract_features(corpus, [encoder], None, tmp_path / "reused", plain, reuse=[tmp_path / "mined"])
    assert reused.details["reused"] == 4
    assert (reused.details["truncated"], reused.details["short"]) == (2, 1)
    (shard,) = (tmp_path / "features").glob("part-*.parquet")
    rows = {row["video_id"]: row for row in pq.read_table(shard).to_pylist()}
    assert [(n, rows[n]["truncated"], rows[n]["short"]) for n in sorted(rows)] == [
        ("beyond", False, True),
        ("good", False, False),
        ("known", True, False),
        ("since", True, False),
    ]
    segment = next(row for row in read_segments(tmp_path / "mined") if row.video_id == "good")
    assert segment.start_time == pytest.approx(segment.start / 25)
    assert segment.end_time == pytest.approx(segment.end / 25)
