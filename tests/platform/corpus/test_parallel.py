"""Rows are worked on in parallel, none is lost, and the count of what is done goes up one by one."""

from typing import Any

import pytest

from cico_platform.corpus.parallel import in_parallel


@pytest.mark.parametrize("count", [1, 9, 40])
def test_every_row_has_a_result(ray_cluster: None, count: int) -> None:
    def half(row: dict[str, Any]) -> dict[str, Any]:
        number = row["number"]
        return {"number": number, "half": number // 2, "reason": "odd" if number % 2 else ""}

    told: list[tuple[int, int, int]] = []

    def tell(done: int, total: int, /, *, quarantined: int = 0, windows: int = 0, note: str = "") -> None:
        told.append((done, total, quarantined))

    results = in_parallel([{"number": number} for number in range(count)], half, tell)
    assert sorted(result["number"] for result in results) == list(range(count))
    assert [done for done, _, _ in told] == list(range(count + 1))
    assert {total for _, total, _ in told} == {count}
    assert told[-1][2] == count // 2


def test_no_rows_need_no_cluster() -> None:
    assert in_parallel([], dict) == []
