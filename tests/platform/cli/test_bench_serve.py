"""`cico bench serve` puts both services under load and accounts for every request."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cico_platform.cli.bench import app


@pytest.mark.slow
def test_a_quick_run_gives_every_row_and_loses_nothing() -> None:
    given = ["--repeats", "1", "--video-share", "0.1", "--soak", "5"]
    done = CliRunner().invoke(app, ["serve", "--quick", *given, "--json"])
    assert done.exit_code == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    rows = {row["name"]: row for row in report["rows"]}
    assert list(rows) == ["text", "video", "overload"]
    for row in rows.values():
        assert row["plain"]["median"] > 0
        assert row["ours"]["median"] > 0
        assert row["ratio"] > 0
    assert min(rows["overload"]["ready_s"].values()) > 0
    for side in ("plain", "ours"):
        assert set(rows["overload"]["service_mib"][side]) == {"begin", "end"}
        for load in ("80%", "200%"):
            (found,) = rows["overload"]["loads"][side][load]
            assert found["lost"] == found["failed"] == 0
            assert found["sent"] == found["accepted"] + found["refused"] > 0
    assert all(found["without_id"] == 0 for found in rows["overload"]["loads"]["ours"]["200%"])
    assert len(report["soak"]["mib"]) == 1 + len(report["soak"]["loads"]) > 10
    assert all(load["accepted"] > 0 == load["lost"] for load in report["soak"]["loads"])


def test_an_index_that_is_not_there_is_told() -> None:
    done = CliRunner().invoke(app, ["serve", "--index", "nowhere", "--quick"])
    assert "is not the folder of an index" in str(done.exception)


def test_a_size_is_for_drawn_clips(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["serve", "--index", str(tmp_path), "--size", "100", "--quick"])
    assert "--size is for a drawn index" in str(done.exception)
