"""The README's Python runs as it stands, with the method alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
CODE = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
# Run last: what the example has imported on its way.
PLATFORM = (
    "\nimport sys\nassert {'ray', 'fastapi', 'qdrant_client', 'cico_platform'}.isdisjoint(sys.modules)\n"
)


def test_the_readme_has_python() -> None:
    assert CODE


@pytest.mark.parametrize("number", range(len(CODE)))
def test_an_example_of_the_readme_runs_without_the_platform(number: int, tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(CODE[number] + PLATFORM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
