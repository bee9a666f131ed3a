"""`cico bench scale`: the row of the sample store."""

from pathlib import Path

import pytest

from cico_platform.benchmarks.scale.sample_store import measure
from cico_platform.benchmarks.settings import BenchSettings


@pytest.mark.slow
def test_the_row_has_the_size_of_a_segment_and_the_rate_of_a_core(tmp_path: Path) -> None:
    said: list[str] = []
    row = measure(tmp_path, BenchSettings(quick=True, repeats=1, threads=1), said.append)
    assert row["name"] == "sample-store"
    assert "skipped" not in row
    assert 10_000 < row["bytes_per_segment"] < 600_000
    assert row["windows_per_s_per_core"] == row["ours"]["median"] > 0
    assert row["windows_per_s_two_processes"] > 0
    assert row["augment_ms_per_window"] > 0
    assert 50 < row["resident_mib"] < 3072
    assert row["plain"]["unit"] == "windows/s"
    assert said
