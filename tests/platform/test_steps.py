"""A step runs once for its inputs, is moved into place whole, and never mixes with what was there."""

from pathlib import Path

import pytest

from cico_platform.errors import InputError
from cico_platform.steps import Summary, content_key, fingerprint, finished, replace_folder, run_step


def writing(text: str, runs: list[str]) -> "object":
    def body(folder: Path) -> Summary:
        runs.append(text)
        (folder / "result.txt").write_text(text)
        return Summary(done=3, quarantined=1, details={"figure": 7})

    return body


def test_an_unchanged_step_is_skipped_and_a_changed_one_replaces_it(tmp_path: Path) -> None:
    out, runs = tmp_path / "out", list[str]()
    first = run_step(out, "step", content_key(x=1), writing("one", runs))  # type: ignore[arg-type]
    again = run_step(out, "step", content_key(x=1), writing("one", runs))  # type: ignore[arg-type]
    assert runs == ["one"]
    assert (first.done, first.skipped, first.quarantined) == (3, 0, 1)
    assert (again.done, again.skipped, again.quarantined, again.details) == (0, 3, 1, {"figure": 7})
    (out / "stale.txt").write_text("of the first")
    run_step(out, "step", content_key(x=2), writing("two", runs))  # type: ignore[arg-type]
    assert (out / "result.txt").read_text() == "two"
    assert not (out / "stale.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_step_that_fails_leaves_no_output_and_goes_on_in_its_folder(tmp_path: Path) -> None:
    out, key = tmp_path / "out", content_key(x=1)

    def failing(folder: Path) -> Summary:
        (folder / "half.txt").write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        run_step(out, "step", key, failing)
    assert not out.exists()

    def resuming(folder: Path) -> Summary:
        assert (folder / "half.txt").read_text() == "half"
        return Summary(done=1)

    assert run_step(out, "step", key, resuming).done == 1
    assert finished(out, key) is not None
    assert finished(out, content_key(x=2)) is None


def test_a_folder_that_no_step_wrote_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="not written by cico"):
        run_step(tmp_path, "step", "key", lambda _: Summary())
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_fingerprint_changes_with_content_and_names_the_step_where_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    before = fingerprint(file), fingerprint(tmp_path)
    file.write_text("two")
    assert fingerprint(file) != before[0]
    assert fingerprint(tmp_path) != before[1]
    run_step(tmp_path / "out", "step", "some-key", lambda _: Summary())
    assert fingerprint(tmp_path / "out") == "some-key"


def test_a_copied_step_is_the_same_step_and_is_copied_once(tmp_path: Path) -> None:
    run_step(tmp_path / "a", "step", "one", writing("one", []))  # type: ignore[arg-type]
    replace_folder(tmp_path / "a", tmp_path / "b")
    assert fingerprint(tmp_path / "b") == "one"
    (tmp_path / "b" / "kept.txt").write_text("")
    replace_folder(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "kept.txt").exists()
    run_step(tmp_path / "a", "step", "two", writing("two", []))  # type: ignore[arg-type]
    replace_folder(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "result.txt").read_text() == "two"
