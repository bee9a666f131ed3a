"""Places on this machine and behind URLs: the same steps, on a real S3 server."""

from pathlib import Path

import pyarrow as pa
import pytest

from cico_platform.corpus.manifest import Corpus, resolve_inside
from cico_platform.errors import CicoError, InputError
from cico_platform.steps import STEP_FILE, Summary, content_key, fingerprint, run_step, write_json
from cico_platform.storage import (
    Place,
    absolute,
    files_under,
    fresh,
    inside,
    is_remote,
    matching,
    on_this_machine,
    place,
    read_table,
    relative,
    remove,
    whole_file,
    working_copy,
    write_table,
    write_whole,
)


@pytest.fixture(params=["local", "s3"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return tmp_path
    return place(f"{request.getfixturevalue('bucket')}/{tmp_path.name}")


def test_files_are_written_whole_listed_in_order_and_removed(home: Place) -> None:
    folder = home / "folder"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("part-1.txt", "part-0.txt", "other.txt"):
        write_whole(folder / name, name.encode())
    (folder / "below").mkdir(parents=True, exist_ok=True)
    write_whole(folder / "below" / "deep.txt", b"deep")
    assert [path.name for path in matching(folder, "part-*.txt")] == ["part-0.txt", "part-1.txt"]
    found = [relative(path, folder) for path in files_under(folder)]
    assert found == ["below/deep.txt", "other.txt", "part-0.txt", "part-1.txt"]
    assert (folder / "part-1.txt").read_bytes() == b"part-1.txt"
    remove(folder)
    assert not fresh(folder).exists()
    remove(folder)


def test_a_file_that_could_not_be_written_to_its_end_stays_what_it_was(home: Place) -> None:
    home.mkdir(parents=True, exist_ok=True)
    write_whole(home / "file", b"before")
    with pytest.raises(TypeError), whole_file(home / "file") as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert [relative(path, home) for path in files_under(fresh(home))] == ["file"]
    assert (home / "file").read_bytes() == b"before"
    with whole_file(home / "file") as file:
        file.write(b"after")
        assert (home / "file").read_bytes() == b"before"
    assert (home / "file").read_bytes() == b"after"


def test_a_table_comes_back(home: Place) -> None:
    home.mkdir(parents=True, exist_ok=True)
    table = pa.table({"name": ["a", "b"], "value": [1, 2]})
    write_table(home / "table.parquet", table, compression="zstd")
    assert read_table(home / "table.parquet").equals(table)
    assert read_table(home / "table.parquet", ["value"]).column_names == ["value"]


@pytest.mark.parametrize("path", ["../out", "a/../../out", "/etc/passwd", "s3://elsewhere/x"])
def test_no_path_leads_out_of_a_remote_folder(path: str, bucket: str) -> None:
    root = place(f"{bucket}/root")
    assert inside(root, path) is None
    assert str(inside(root, "a/./b/../c.mp4")) == f"{bucket}/root/a/c.mp4"
    if "://" not in path and not path.startswith("/"):
        with pytest.raises(InputError, match="leads out"):
            resolve_inside(root, path)


def test_a_place_is_named_alike_in_every_process(bucket: str, tmp_path: Path) -> None:
    assert absolute(f"{bucket}/a") == absolute(place(f"{bucket}/a")) == f"{bucket}/a"
    assert absolute(tmp_path / "x" / ".." / "y") == str(tmp_path / "y")
    assert is_remote(f"{bucket}/a")
    assert not is_remote(tmp_path)
    with pytest.raises(InputError, match="nosuchscheme://x"):
        place("nosuchscheme://x")


def step(text: str, runs: list[str]) -> "object":
    def body(folder: Place) -> Summary:
        runs.append(text)
        write_whole(folder / f"{text}.txt", text.encode())
        return Summary(done=3)

    return body


def test_a_step_is_skipped_replaced_and_leaves_nothing_behind(home: Place) -> None:
    home.mkdir(parents=True, exist_ok=True)
    out, runs = home / "out", list[str]()
    run_step(out, "step", content_key(x=1), step("one", runs))  # type: ignore[arg-type]
    assert run_step(out, "step", content_key(x=1), step("one", runs)).skipped == 3  # type: ignore[arg-type]
    assert fingerprint(out) == content_key(x=1)
    run_step(out, "step", content_key(x=2), step("two", runs))  # type: ignore[arg-type]
    assert runs == ["one", "two"]
    assert [relative(path, home) for path in files_under(fresh(home))] == ["out/step.json", "out/two.txt"]


def test_a_remote_step_whose_move_was_cut_is_whole_after_the_next_try(bucket: str) -> None:
    out, runs, key = place(f"{bucket}/cut/out"), list[str](), content_key(x=1)
    run_step(out, "step", key, step("one", runs))  # type: ignore[arg-type]
    building = out.with_name(f".out.building-{content_key(x=2)}")
    write_whole(building / "two.txt", b"two")
    record = {"name": "step", "key": content_key(x=2), "summary": {"done": 3}}
    write_json(building / STEP_FILE, record)
    write_json(out / STEP_FILE, {"name": "", "key": "", "summary": {}})  # what a move does first
    with pytest.raises(CicoError, match="was being replaced"):
        fingerprint(out)
    found = run_step(out, "step", content_key(x=2), step("two", runs))  # type: ignore[arg-type]
    assert (found.done, runs) == (3, ["one"])
    assert [relative(path, out) for path in files_under(fresh(out))] == ["step.json", "two.txt"]
    assert not fresh(building).exists()


def test_a_checkpoint_is_copied_once_and_again_when_it_changed(bucket: str) -> None:
    folder = place(f"{bucket}/checkpoint")
    write_whole(folder / "model.bin", b"first")
    copy = on_this_machine(folder)
    assert (copy / "model.bin").read_bytes() == b"first"
    assert on_this_machine(str(folder)) == copy
    write_whole(folder / "model.bin", b"second")
    assert (on_this_machine(folder) / "model.bin").read_bytes() == b"second"


def test_a_working_copy_goes_to_the_remote_folder_when_it_is_done(bucket: str) -> None:
    folder = place(f"{bucket}/worked")

    def cut() -> None:
        with working_copy(folder) as local:
            (local / "half.txt").write_text("half")
            raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        cut()
    assert not fresh(folder).exists()
    with working_copy(folder) as local:
        assert (local / "half.txt").read_text() == "half"
        (local / "whole.txt").write_text("whole")
    assert [relative(path, folder) for path in files_under(fresh(folder))] == ["half.txt", "whole.txt"]
    assert not local.exists()


def test_a_corpus_behind_a_url_has_a_quarantine(bucket: str) -> None:
    corpus = Corpus(f"{bucket}/corpus")
    assert corpus.quarantine("read", [{"video_id": "a", "path": "a.mp4", "reason": "broken"}]) == 1
    assert [row["reason"] for row in corpus.quarantined()] == ["broken"]
