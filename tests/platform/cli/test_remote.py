"""The same verbs on a corpus in an object store: a real S3 server, and what the local run gives."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from object_store import BUCKET, s3_server
from tiny_corpus import write_encoder

from cico_platform.pipelines.mine import read_segments
from cico_platform.pipelines.stored_features import load_features
from cico_platform.storage import copy_files, files_under, place, relative

pytestmark = pytest.mark.slow
HOME = f"s3://{BUCKET}"


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    with s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


def cico(*arguments: object) -> dict[str, Any]:
    command = [
        sys.executable,
        "-c",
        "from cico_platform.cli.main import run; run()",
        *map(str, arguments),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_from_a_remote_corpus_to_a_search(tiny_corpus: Path, tmp_path: Path) -> None:
    corpus, encoder = f"{HOME}/corpus", f"{HOME}/encoder"
    copy_files(tiny_corpus, place(corpus), last="manifest.parquet")
    copy_files(write_encoder(tmp_path / "encoder"), place(encoder), last="config.json")

    mined = cico("mine", corpus, "--encoder", encoder, "--out", f"{HOME}/segments", "--threshold", "0.2")
    assert (mined["done"], mined["quarantined"]) == (12, 2)
    cico(
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

    made = cico("features", corpus, "--encoder", encoder, "--out", f"{HOME}/features")
    assert (made["done"], made["skipped"], made["quarantined"]) == (22, 0, 2)
    assert cico("features", corpus, "--encoder", encoder, "--out", f"{HOME}/features")["skipped"] == 22
    cico("features", tiny_corpus, "--encoder", tmp_path / "encoder", "--out", tmp_path / "features")
    remote, local = load_features(f"{HOME}/features"), load_features(tmp_path / "features")
    assert remote.video_ids == local.video_ids
    for there, here in zip(remote.values, local.values, strict=True):
        np.testing.assert_array_equal(there, here)
    left = [relative(path, place(HOME)) for path in files_under(place(HOME))]
    assert not [name for name in left if ".building-" in name or ".partial" in name]

    small = ["--set", "epochs=1", "--set", "batch_size=4"]
    cico("train", "retrieval", corpus, "--features", f"{HOME}/features", "--out", f"{HOME}/model", *small)
    report = cico(
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
    indexed = cico(
        "index", corpus, "--features", f"{HOME}/features", "--model", f"{HOME}/model", "--index", index
    )
    assert indexed["done"] == 22
    found = cico("search", "red green", "--index", index, "--limit", 3)["results"]
    assert len(found) == 3
    assert all(row["path"].startswith(f"{corpus}/videos/") for row in found)


def test_a_remote_folder_is_read_into_a_remote_corpus(tiny_corpus: Path, tmp_path: Path) -> None:
    source = place(f"{HOME}/source")
    copy_files(tiny_corpus / "videos", source, last="")
    (source / "labels.csv").write_text(
        "file,text\ntrain-00.mp4,one two\ntrain-01.mp4,three four\n../x.mp4,out\n"
    )
    read = cico("corpus", "read", f"{source}/labels.csv", "--out", f"{HOME}/read")
    assert (read["done"], read["quarantined"]) == (2, 1)
    bare = cico("corpus", "read", source, "--format", "folder", "--out", f"{HOME}/bare")
    assert bare["quarantined"] == 1
    seen = cico("corpus", "inspect", f"{HOME}/bare")
    assert seen["rows"] == bare["done"] == len(list((tiny_corpus / "videos").glob("*.mp4"))) - 1
    assert place(seen["contact_sheet"]).read_bytes().startswith(b"\x89PNG")
