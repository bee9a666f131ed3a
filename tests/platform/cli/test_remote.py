"""The same verbs on a corpus in an object store: a real S3 server, and what the local run gives."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from cico_command import Cico
from object_store import BUCKET
from tiny_corpus import write_encoder

from cico_platform.cluster import connect
from cico_platform.pipelines.mine import read_segments
from cico_platform.pipelines.stored_features import load_features
from cico_platform.storage import copy_files, files_under, place, relative

pytestmark = pytest.mark.slow
HOME = f"s3://{BUCKET}/verbs"


@pytest.fixture(scope="module", autouse=True)
def workers_know_the_server(bucket: str, ray_cluster: None) -> None:
    """Start Ray again: its workers have the environment that it was started with."""
    ray.shutdown()
    connect()


@pytest.fixture
def verb(cico: Cico) -> Callable[..., dict[str, Any]]:
    """A verb's JSON object."""

    def run(*arguments: object) -> dict[str, Any]:
        done = cico(*arguments, "--json")
        assert done.returncode == 0, done.stderr[-3000:]
        assert "Traceback" not in done.stderr
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    return run


def test_from_a_remote_corpus_to_a_search(
    verb: Callable[..., dict[str, Any]], tiny_corpus: Path, tmp_path: Path
) -> None:
    corpus, encoder = f"{HOME}/corpus", f"{HOME}/encoder"
    copy_files(tiny_corpus, place(corpus), last="manifest.parquet")
    copy_files(write_encoder(tmp_path / "encoder"), place(encoder), last="config.json")

    mined = verb("mine", corpus, "--encoder", encoder, "--out", f"{HOME}/segments", "--threshold", "0.2")
    assert (mined["done"], mined["quarantined"]) == (12, 2)
    verb(
        "mine",
        tiny_corpus,
        "--encoder",
        tmp_path / "encoder",
        "--out",
        tmp_path / "segments",
        "--threshold",
        "0.2",
    )
    assert read_segments(f"{HOME}/segments") == read_segments(tmp_path / "segments")

    made = verb("features", corpus, "--encoder", encoder, "--out", f"{HOME}/features")
    assert (made["done"], made["skipped"], made["quarantined"]) == (22, 0, 2)
    assert verb("features", corpus, "--encoder", encoder, "--out", f"{HOME}/features")["skipped"] == 22
    verb("features", tiny_corpus, "--encoder", tmp_path / "encoder", "--out", tmp_path / "features")
    remote, local = load_features(f"{HOME}/features"), load_features(tmp_path / "features")
    assert remote.video_ids == local.video_ids
    for there, here in zip(remote.values, local.values, strict=True):
        np.testing.assert_array_equal(there, here)
    left = [relative(path, place(HOME)) for path in files_under(place(HOME))]
    assert not [name for name in left if ".building-" in name or ".partial" in name]

    small = ["--set", "epochs=1", "--set", "batch_size=4"]
    verb("train", "retrieval", corpus, "--features", f"{HOME}/features", "--out", f"{HOME}/model", *small)
    report = verb(
        "evaluate",
        corpus,
        "--features",
        f"{HOME}/features",
        "--model",
        f"{HOME}/model",
        "--out",
        f"{HOME}/report",
    )
    assert report["videos"] == 6
    assert json.loads(place(f"{HOME}/report/report.json").read_text())["t2v"] == report["t2v"]
    index = tmp_path / "index"
    indexed = verb(
        "index", corpus, "--features", f"{HOME}/features", "--model", f"{HOME}/model", "--index", index
    )
    assert indexed["done"] == 22
    found = verb("search", "red green", "--index", index, "--limit", 3)["results"]
    assert len(found) == 3
    assert all(row["path"].startswith(f"{corpus}/videos/") for row in found)


def test_a_remote_folder_is_read_into_a_remote_corpus(
    verb: Callable[..., dict[str, Any]], tiny_corpus: Path, tmp_path: Path
) -> None:
    source = place(f"{HOME}/source")
    copy_files(tiny_corpus / "videos", source, last="")
    (source / "labels.csv").write_text(
        "file,text\ntrain-00.mp4,one two\ntrain-01.mp4,three four\n../x.mp4,out\n"
    )
    read = verb("corpus", "read", f"{source}/labels.csv", "--out", f"{HOME}/read")
    assert (read["done"], read["quarantined"]) == (2, 1)
    bare = verb("corpus", "read", source, "--format", "folder", "--out", f"{HOME}/bare")
    assert bare["quarantined"] == 1
    seen = verb("corpus", "inspect", f"{HOME}/bare")
    assert seen["rows"] == bare["done"] == len(list((tiny_corpus / "videos").glob("*.mp4"))) - 1
    assert place(seen["contact_sheet"]).read_bytes().startswith(b"\x89PNG")
