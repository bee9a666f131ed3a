"""The repository keeps the promises that no single module can keep."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    "torch",
    "ray",
    "cv2",
    "transformers",
    "pandas",
    "pyarrow",
    "av",
    "openvino",
    "qdrant_client",
    "fastapi",
)


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def committed() -> list[Path]:
    """The text files that git knows."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    files = [ROOT / name for name in names.split("\0") if name]
    return [f for f in files if f.is_file() and b"\0" not in f.read_bytes()[:4096]]


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_platform_folder_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
    code = "import platform; print(platform.python_version())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("3.")


def test_command_line_starts_without_heavy_imports() -> None:
    code = "import sys, cico_platform.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "cico_platform.cli.main" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_method_imports_without_the_platform() -> None:
    code = "import sys, cico_model; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint(
        {"ray", "fastapi", "qdrant_client", "qdrant_edge", "cico_platform"}
    )


def test_no_committed_file_names_a_package_registry() -> None:
    words = ["index" + "-url", "pypi." + "org", "pythonhosted" + ".org", "registry.npm" + "js"]
    named = [(f.name, word) for f in committed() for word in words if word in f.read_text(errors="ignore")]
    assert named == []


def test_no_committed_file_is_larger_than_a_megabyte() -> None:
    assert [f.name for f in committed() if f.stat().st_size > 1 << 20] == []


@pytest.mark.parametrize("group", ["dependencies", "dev"])
def test_every_dependency_has_a_lower_and_an_upper_bound(group: str) -> None:
    described = project()["project"]
    wanted = (
        described["dependencies"] if group == "dependencies" else described["optional-dependencies"][group]
    )
    versions = [requirement.partition(";")[0] for requirement in wanted]
    assert [v for v in versions if ">=" not in v or "<" not in v.replace("<=", "<")] == []


def test_every_direct_dependency_is_pinned() -> None:
    described = project()["project"]
    wanted = [*described["dependencies"], *described["optional-dependencies"]["dev"]]
    names = {normalised(re.match(r"[\w.-]+", requirement).group()) for requirement in wanted}  # type: ignore[union-attr]
    assert names - {normalised(name) for name in constraints()} == set()


def test_pinned_versions_are_those_installed() -> None:
    """Holds wherever `make setup` made the environment: what is tested is what the constraints say."""
    pinned = {normalised(name): version for name, version in constraints().items()}
    # The environment's own folder alone: once imported, setuptools puts what it vendors on `sys.path`.
    environment = distributions(path=[sysconfig.get_path("purelib")])
    installed = {normalised(d.metadata["Name"]): d.version.partition("+")[0] for d in environment}
    assert len(installed) > 100
    differing = {n: (v, pinned[n]) for n, v in installed.items() if n in pinned and v != pinned[n]}
    assert differing == {}


def test_make_lists_its_targets() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for target in ("setup", "quick", "demo", "test", "test-slow", "lint", "bench", "browser", "clean"):
        assert f"make {target} " in done.stdout


def test_ci_runs_lint_and_both_kinds_of_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    phases = re.findall(r"^phase (\S+)(?: ARGS=\S+)?$", script.read_text(), flags=re.MULTILINE)
    assert phases[-5:] == ["lint", "test", "test-slow", "test-demo", "quick"]


def test_pre_commit_fetches_nothing() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [group["repo"] for group in hooks] == ["local"]
    assert {hook["language"] for group in hooks for hook in group["hooks"]} == {"system"}


def test_wheel_holds_both_packages_and_what_they_read(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {
        str(f.relative_to(ROOT / base))
        for base, package in ((".", "cico_model"), ("platform", "cico_platform"))
        for f in (ROOT / base / package).rglob("*")
        if f.is_file() and "__pycache__" not in f.parts
    }
    assert wanted - names == set()
    assert not any(name.startswith(("platform/", "tests/", "deploy/")) for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
