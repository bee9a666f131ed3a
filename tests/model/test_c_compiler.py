"""Without a C compiler, networks on CUDA run uncompiled: what decides that."""

from pathlib import Path

import pytest

from cico_model.engines import has_c_compiler


def test_a_compiler_is_found_on_the_path_or_under_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not has_c_compiler()
    compiler = tmp_path / "gcc"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    assert has_c_compiler()
    monkeypatch.setenv("CC", "/nowhere/cc")
    assert not has_c_compiler()
