"""A step runs once for its inputs, is moved into place whole, and never mixes with what was there."""

from pathlib import Path

import pytest

from cico_platform import steps
from cico_platform.errors import CicoError, InputError
from cico_platform.steps import (
    STEP_FILE,
    Summary,
    content_key,
    earlier_outputs,
    fingerprint,
    finished,
    replace_folder,
    run_step,
)


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


def test_a_file_of_that_name_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_text("precious")
    with pytest.raises(InputError, match="is a file; name a folder"):
        run_step(tmp_path / "model.bin", "step", "key", lambda _: Summary())
    assert (tmp_path / "model.bin").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["model.bin"]


def test_a_link_to_a_folder_stays_and_the_output_lies_where_it_leads(tmp_path: Path) -> None:
    disk, out, runs = tmp_path / "disk", tmp_path / "out", list[str]()
    (disk / "out").mkdir(parents=True)
    out.symlink_to(disk / "out")
    built = []
    for text in ("one", "two", "three"):

        def body(folder: Path, text: str = text) -> Summary:
            built.append(folder.parent)
            assert [each.name for each in earlier_outputs(out, folder)] == ["out"]
            return writing(text, runs)(folder)  # type: ignore[operator,no-any-return]

        run_step(out, "step", content_key(x=text), body)
        assert out.is_symlink()
        assert (disk / "out" / "result.txt").read_text() == text
    assert set(built) == {disk}
    assert sorted(path.name for path in (*tmp_path.iterdir(), *disk.iterdir())) == ["disk", "out", "out"]


def test_a_link_that_an_earlier_version_moved_aside_is_no_obstacle(tmp_path: Path) -> None:
    run_step(tmp_path / "out", "step", "one", lambda _: Summary())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".out.old").symlink_to(tmp_path / "elsewhere")
    run_step(tmp_path / "out", "step", "two", lambda _: Summary())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "out"]


def test_what_another_run_has_moved_into_place_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_step(out, "step", "key", writing("theirs", []))  # type: ignore[arg-type]
    with pytest.raises(CicoError, match="two runs at once"):
        steps._swap(tmp_path / ".out.building-key", out)  # theirs has just been moved
    assert (out / "result.txt").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["out[v2]", "out*", "o?t"])
def test_names_that_look_like_patterns_mean_themselves(name: str, tmp_path: Path) -> None:
    other, cut = tmp_path / ".out-else.building-1", tmp_path / f".{name}.building-0"
    other.mkdir()
    cut.mkdir()
    seen = []

    def body(folder: Path) -> Summary:
        seen.extend(each.name for each in earlier_outputs(tmp_path / name, folder))
        return Summary()

    run_step(tmp_path / name, "step", "key", body)
    assert seen == [name, cut.name]
    assert (other.exists(), cut.exists()) == (True, False)


@pytest.mark.parametrize("content", ["", '{"key": "a', '{"mine": 1}', "[]"])
def test_a_damaged_or_foreign_step_file_is_told_and_nothing_is_replaced(content: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / STEP_FILE).write_text(content)
    for call in (lambda: run_step(out, "step", "key", lambda _: Summary()), lambda: fingerprint(out)):
        with pytest.raises(InputError, match=r"step\.json' is damaged, or not written by cico; remove"):
            call()
    assert (out / STEP_FILE).read_text() == content


def test_a_try_whose_step_file_was_cut_goes_on(tmp_path: Path) -> None:
    cut = tmp_path / ".out.building-key"
    cut.mkdir()
    (cut / STEP_FILE).write_text("")
    assert run_step(tmp_path / "out", "step", "key", lambda _: Summary(done=2)).done == 2
    assert fingerprint(tmp_path / "out") == "key"
