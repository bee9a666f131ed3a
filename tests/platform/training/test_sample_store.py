"""A sample store holds the frames of every segment, names what it cannot hold, and goes on after a cut."""

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from sample_stores import build_here
from tiny_corpus import LABELS, SIGN_FRAMES, film, write_video

from cico_model.augmentation import backdrop_of
from cico_platform.benchmarks.material import drawn_video
from cico_platform.benchmarks.scale.stored_segments import write_segments
from cico_platform.corpus.clip_keys import facts_of, key_columns
from cico_platform.corpus.manifest import Clip, Corpus, write_manifest
from cico_platform.errors import CicoError
from cico_platform.pipelines.decode import decode_row, source_rows
from cico_platform.storage import Place, files_under, fresh, place, remove
from cico_platform.training.data.cuts import LEAST_CUTS_PER_SHARD, Cut, FrameSettings, plan_store
from cico_platform.training.data.frame_codec import decode_frame, encode_frame
from cico_platform.training.data.sample_builder import UNKNOWN_CLIP, build_sample_store, finish_store
from cico_platform.training.data.sample_store import SampleStore
from cico_platform.training.data.shard_writer import write_shard

SETTINGS = FrameSettings(size=37)
# Of 255 levels: saturated colours of the tiny corpus keep their edges.
MEAN_ERROR = 3.0


def training_cuts(corpus: Path) -> list[Cut]:
    """Each sign of each training sentence, and each labelled clip whole."""
    clips = list(Corpus(corpus).clips("train"))
    return [
        cut
        for clip in clips
        for cut in (
            [Cut(clip.video_id, str(clip.label))]
            if clip.label is not None
            else [
                Cut(clip.video_id, sign, number * SIGN_FRAMES, (number + 1) * SIGN_FRAMES)
                for number, sign in enumerate(clip.text.split())
            ]
        )
    ]


@pytest.fixture(scope="module")
def store(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "samples"
    build_here(tiny_corpus, training_cuts(tiny_corpus), folder, SETTINGS)
    return folder


def contents(folder: Place) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in files_under(fresh(folder))}


def test_each_sample_has_the_frames_and_the_label_of_its_cut(tiny_corpus: Path, store: Path) -> None:
    corpus, opened = Corpus(tiny_corpus), SampleStore(str(store))
    clips = {clip.video_id: clip for clip in corpus.clips("train")}
    cuts = sorted(training_cuts(tiny_corpus), key=lambda cut: (cut.video_id, cut.start))
    cuts = [cut for cut in cuts if cut.video_id not in ("text", "outside")]
    assert len(opened) == len(cuts)
    assert sorted(opened.index.labels) == LABELS
    for sample, cut in list(enumerate(cuts))[::7]:
        assert opened.index.video_id(sample) == cut.video_id
        assert opened.label(sample) == cut.label
        frames, _ = decode_row(source_rows(corpus, [clips[cut.video_id]])[0], 37)
        assert frames is not None
        expected = frames[cut.start : cut.end]
        assert opened.frame_count(sample) == len(expected) == SIGN_FRAMES
        found = opened.read(sample)
        assert np.abs(found.astype(int) - expected).mean() < MEAN_ERROR
        assert (opened.read(sample, [5, 5, 6]) == found[[5, 5, 6]]).all()


def test_what_cannot_be_used_is_counted_and_named(tiny_corpus: Path, tmp_path: Path) -> None:
    sentence = next(c for c in Corpus(tiny_corpus).clips("train", labelled=False) if c.frames)
    frames = sentence.frames or 0
    cuts = [
        Cut(sentence.video_id, "late", frames + 5, frames + 21),
        Cut(sentence.video_id, "good", 0, 16),
        Cut("sign-red-0", "empty", 4, 4),
        Cut("text", "a"),
        Cut("text", "b", 3, 19),
        Cut("outside", "a"),
        Cut("nowhere", "a"),
    ]
    summary = build_here(tiny_corpus, cuts, tmp_path / "samples", SETTINGS)
    assert (summary.samples, summary.lost_clips) == (1, 4)
    reasons = {row["video_id"]: row["reason"] for row in summary.quarantine}
    assert list(reasons) == sorted(["nowhere", "outside", "sign-red-0", "text", sentence.video_id])
    assert len(summary.quarantine) == 5  # a clip that cannot be decoded once, however many its segments
    assert reasons["nowhere"] == UNKNOWN_CLIP
    assert "stay inside" in reasons["outside"]
    wanted = (
        f"the segment 'late' from frame {frames + 5} to {frames + 21} is not in the clip of {frames} frames"
    )
    assert reasons[sentence.video_id] == wanted
    assert "'empty' from frame 4 to 4" in reasons["sign-red-0"]
    assert {row["path"] for row in summary.quarantine if row["video_id"] == "text"} == {
        str(tiny_corpus / "videos" / "text.mp4")
    }


def test_no_cuts_make_an_empty_store(tiny_corpus: Path, tmp_path: Path) -> None:
    summary = build_sample_store(Corpus(tiny_corpus), [], tmp_path / "samples", SETTINGS, 1)
    assert (summary.samples, summary.quarantine) == (0, [])
    opened = SampleStore(str(tmp_path / "samples"))
    assert (len(opened), opened.index.labels) == (0, [])


def test_shards_are_named_by_their_segments_and_settings(tiny_corpus: Path) -> None:
    corpus, cuts = Corpus(tiny_corpus), training_cuts(tiny_corpus)

    def names(cuts: list[Cut], settings: FrameSettings = SETTINGS) -> list[str]:
        return [shard.name for shard in plan_store(corpus, cuts, settings).shards]

    usual = names(cuts)
    assert len(usual) == len(set(usual)) > 3
    assert names(cuts[::-1]) == usual
    assert set(names(cuts, FrameSettings(size=37, quality=80))).isdisjoint(usual)
    assert set(names(cuts, FrameSettings(size=37, backdrop=True))).isdisjoint(usual)
    last = max(cuts, key=lambda cut: cut.video_id)
    changed = [Cut(c.video_id, c.label, c.start, 10) if c == last else c for c in cuts]
    assert names(changed)[:-1] == usual[:-1]
    assert names(changed)[-1] != usual[-1]


@pytest.mark.parametrize("known", [True, False], ids=["keys in the manifest", "no keys"])
def test_a_file_that_was_replaced_makes_its_shard_another_one(known: bool, tmp_path: Path) -> None:
    names = [f"clip-{number:02d}" for number in range(2 * LEAST_CUTS_PER_SHARD)]
    files = {name: tmp_path / f"{name}.mp4" for name in names}
    for number, file in enumerate(files.values()):
        write_video(file, film(["red"], number))
    clips = [Clip(name, name, "train", f"{name}.mp4", "", "", label="red", frames=18) for name in names]
    facts = facts_of(tmp_path, dict.fromkeys(clip.path for clip in clips))
    keys = key_columns(clips, [facts[clip.path] for clip in clips])
    write_manifest(tmp_path, clips, keys if known else None)
    folder, cuts = tmp_path / "samples", [Cut(name, "red") for name in names]

    def planned() -> list[str]:
        return [shard.name for shard in plan_store(Corpus(tmp_path), cuts, SETTINGS).shards]

    first, last = planned()
    key = build_here(tmp_path, cuts, folder, SETTINGS).key
    before = SampleStore(str(folder), key=key).read(0)
    write_video(files[names[0]], film(["blue"], 0))
    other, same = planned()
    assert (other != first, same) == (True, last)
    summary = build_here(tmp_path, cuts, folder, SETTINGS)
    assert np.abs(SampleStore(str(folder)).read(0).astype(int) - before).mean() > MEAN_ERROR
    files[names[0]].rename(tmp_path / "away")
    assert planned()[0] not in (first, other)
    (tmp_path / "away").rename(files[names[0]])
    assert planned() == [other, last]
    assert summary.key != key
    with pytest.raises(CicoError, match="holds the samples of another training by now"):
        SampleStore(str(folder), key=key)


def test_a_cut_build_goes_on_and_gives_the_same_store(
    tiny_corpus: Path, store: Path, tmp_path: Path, ray_cluster: None
) -> None:
    folder, corpus, cuts = tmp_path / "samples", Corpus(tiny_corpus), training_cuts(tiny_corpus)
    plan = plan_store(corpus, cuts, SETTINGS)
    folder.mkdir()
    whole, cut, no_ledger = plan.shards[:3]
    for shard in (whole, cut, no_ledger):
        write_shard(shard, folder, SETTINGS)
    with (folder / f"{cut.name}.frames").open("rb+") as file:
        file.truncate(100)
    (folder / f"{no_ledger.name}.parquet").unlink()
    (folder / f".{'0' * 16}.frames.7-abc.partial").write_bytes(b"left by a killed task")
    (folder / f"{'f' * 16}.frames").write_bytes(b"another store's")
    (folder / "notes.txt").write_text("a person's")
    before = (folder / f"{whole.name}.frames").stat().st_ino
    told: list[tuple[int, int, int]] = []

    def tell(done: int, total: int, /, *, quarantined: int = 0, windows: int = 0, note: str = "") -> None:
        told.append((done, total, quarantined))

    summary = build_sample_store(corpus, cuts, folder, SETTINGS, 2, tell)
    assert summary.built == len(plan.shards) - 1
    assert (folder / f"{whole.name}.frames").stat().st_ino == before
    (folder / "notes.txt").unlink()
    assert contents(folder) == contents(store)
    assert told[-1][:2] == (len(cuts), len(cuts))
    again = build_sample_store(corpus, cuts, folder, SETTINGS, 2)
    assert again.built == 0
    assert again.quarantine == summary.quarantine
    assert [row["video_id"] for row in summary.quarantine] == ["outside", "text"]


def test_a_store_is_replaced_by_that_of_other_cuts(tiny_corpus: Path, tmp_path: Path) -> None:
    folder, cuts = tmp_path / "samples", training_cuts(tiny_corpus)
    build_here(tiny_corpus, cuts[:8], folder, SETTINGS)
    build_here(tiny_corpus, cuts[:12], folder, SETTINGS)
    assert len(SampleStore(str(folder))) == 12
    build_here(tiny_corpus, cuts[:12], tmp_path / "fresh", SETTINGS)
    assert contents(folder) == contents(tmp_path / "fresh")


def test_a_backdrop_is_what_stands_still_in_the_segment(
    tiny_corpus: Path, store: Path, tmp_path: Path
) -> None:
    settings = FrameSettings(size=37, quality=100, backdrop=True)
    cuts = [Cut("sign-red-0", "red"), Cut("sign-blue-1", "blue", 2, 15)]
    build_here(tiny_corpus, cuts, tmp_path / "samples", settings)
    opened = SampleStore(str(tmp_path / "samples"))
    for sample in range(2):
        frames, found = opened.read(sample), np.empty((37, 37, 3), np.uint8)
        assert len(frames) == opened.frame_count(sample)
        opened.read_backdrop(sample, found)
        assert np.abs(found.astype(int) - backdrop_of(frames)).mean() < 1.5


@pytest.fixture
def no_large_files() -> Iterator[None]:
    """A disk that takes no file of more than 3,000 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_shard_that_cannot_be_written_leaves_nothing(
    tiny_corpus: Path, tmp_path: Path, no_large_files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cico_platform.shard_output.SECONDS_BETWEEN_ATTEMPTS", 0.0)
    plan = plan_store(Corpus(tiny_corpus), [Cut("sign-red-0", "red")], SETTINGS)
    outcome = write_shard(plan.shards[0], tmp_path, SETTINGS)
    assert "File too large" in outcome.failure
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CicoError, match="is not whole; run the same again"):
        finish_store(plan, tmp_path, SETTINGS)


def test_a_damaged_store_says_what_to_do(tiny_corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    build_here(tiny_corpus, [Cut("sign-red-0", "red")], folder, SETTINGS)
    opened = SampleStore(str(folder))
    (frames,) = folder.glob("*.frames")
    sound = frames.read_bytes()
    offsets = opened.index.offsets(0)
    frames.write_bytes(sound[: offsets[3]] + b"\0" * int(offsets[4] - offsets[3]) + sound[offsets[4] :])
    with pytest.raises(CicoError, match=r"frame 3 of 'sign-red-0' in shard .* remove the sample store"):
        opened.read(0)
    assert opened.read(0, [0, 1, 2]).any()
    assert opened.read(0, [4]).any()
    frames.write_bytes(sound[:-5])
    with pytest.raises(CicoError, match="is damaged: it ends before byte"):
        opened.read(0)
    (folder / "index.arrow").write_bytes(b"no index")
    with pytest.raises(CicoError, match="no index of a sample store"):
        SampleStore(str(folder))
    (folder / "index.arrow").unlink()
    with pytest.raises(CicoError, match="no whole sample store"):
        SampleStore(str(folder))


def test_a_remote_store_is_copied_while_there_is_room(tiny_corpus: Path, store: Path, bucket: str) -> None:
    url = f"{bucket}/samples-of-a-test"
    build_here(tiny_corpus, training_cuts(tiny_corpus), place(url), SETTINGS)
    assert contents(place(url)) == contents(store)
    local, sizes = SampleStore(str(store)), [path.stat().st_size for path in store.glob("*.frames")]
    room_for_one = max(sizes)
    for most in (None, room_for_one, 0):
        remote = SampleStore(url, cache_bytes=most)
        copies: Path = remote.shards.local.folder  # type: ignore[attr-defined]
        assert all((remote.read(s, [1, 7]) == local.read(s, [1, 7])).all() for s in range(len(local)))
        held = [path.stat().st_size for path in copies.glob("*.frames")]
        if most is None:
            assert sorted(held) == sorted(sizes)
        else:
            assert bool(held) == bool(most)
            assert sum(held) <= most
        remote.close()
        assert not copies.exists()


def test_copies_of_a_remote_store_outlive_it_and_are_shared(
    tiny_corpus: Path, store: Path, bucket: str
) -> None:
    url = f"{bucket}/samples-that-go"
    build_here(tiny_corpus, training_cuts(tiny_corpus), place(url), SETTINGS)
    first, second = SampleStore(url), SampleStore(url)
    found = [first.read(sample) for sample in range(len(first))]
    remove(place(url))
    assert all((second.read(sample) == frames).all() for sample, frames in enumerate(found))
    second.close()


def test_memory_does_not_grow_with_the_samples(tmp_path: Path) -> None:
    segments = [drawn_video(24, 16, seed) for seed in range(2)]
    write_segments(tmp_path / "samples", segments, 100_000, FrameSettings(size=16))
    process = psutil.Process()
    before = process.memory_full_info().uss
    opened = SampleStore(str(tmp_path / "samples"))
    for sample in range(0, 100_000, 97):
        opened.read(sample, [0, 23])
    assert len(opened) == 100_000
    assert process.memory_full_info().uss - before < 64 << 20


def test_24_frames_at_256_pixels_take_less_than_600_kilobytes() -> None:
    frames = drawn_video(24, 256, seed=0)
    encoded = [encode_frame(frame) for frame in frames]
    assert sum(map(len, encoded)) < 600_000
    found = np.empty_like(frames)
    assert all(decode_frame(data, out) for data, out in zip(encoded, found, strict=True))
    error = ((found.astype(np.float32) - frames) ** 2).mean()
    assert 10 * np.log10(255**2 / error) > 36
