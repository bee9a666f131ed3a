"""Mining finds what the encoder is sure of, in the training sentences alone."""

from pathlib import Path

import pytest
from tiny_corpus import SIGN_FRAMES, write_encoder

from cico_platform.corpus.manifest import Corpus
from cico_platform.errors import InputError
from cico_platform.pipelines.mine import MineSettings, mine, read_segments

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_a_sign_that_is_seen_everywhere_is_found_in_every_training_sentence(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    encoder = write_encoder(tmp_path / "encoder", favourite="green")
    summary = mine(tiny_corpus, encoder, tmp_path / "segments")
    segments = read_segments(tmp_path / "segments")
    clips = {clip.video_id: clip for clip in Corpus(tiny_corpus).clips("train", labelled=False)}
    usable = set(clips) - {"text", "outside"}
    assert {row.video_id for row in segments} == usable
    assert {row.label for row in segments} == {"green"}
    assert all(0 <= row.start < row.end <= (clips[row.video_id].frames or 0) for row in segments)
    assert all(row.confidence > 0.9 for row in segments)
    # It is found whatever the sentence says, so that hardly any word speaks for it.
    assert all(0.0 <= row.support < 2.0 for row in segments)
    assert (summary.done, summary.quarantined) == (len(usable), 2)
    frames = sum(clips[name].frames or 0 for name in usable)
    assert summary.details == {
        "segments": len(segments),
        "labels": 1,
        "windows": frames - 15 * len(usable),
        "kept_share": 1.0,
        "truncated": 0,
        "short": 0,
    }
    # Windows of one class within 24 frames are one segment, so a longer sentence holds more than one.
    longest = max(usable, key=lambda name: clips[name].frames or 0)
    assert (clips[longest].frames or 0) >= 4 * SIGN_FRAMES
    assert sum(row.video_id == longest for row in segments) > 1


def test_an_encoder_that_is_never_sure_finds_nothing(tiny_corpus: Path, tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder", seed=3)
    summary = mine(tiny_corpus, encoder, tmp_path / "segments", MineSettings(threshold=0.99))
    assert (summary.details["segments"], summary.details["kept_share"]) == (0, 0.0)
    assert read_segments(tmp_path / "segments") == []


def test_a_corpus_without_sentences_cannot_be_mined(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.parquet"):
        mine(tmp_path, tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="cico mine"):
        read_segments(tmp_path)
