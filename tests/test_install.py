"""`make setup`: uv looks for packages where pip would, and what went wrong is told in a sentence."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", ROOT / "scripts/install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_uv_gets_the_settings_of_pip(install: ModuleType) -> None:
    pip = {"index_url": "https://a/simple", "extra_index_url": "https://b https://c", "cert": "/ca.pem"}
    options, environment = install.uv_settings({**pip, "find_links": "/one /two"}, {})
    assert options[:2] == ["--default-index", "https://a/simple"]
    assert [options[at + 1] for at, name in enumerate(options) if name == "--index"] == [
        "https://b",
        "https://c",
    ]
    assert [options[at + 1] for at, name in enumerate(options) if name == "--find-links"] == ["/one", "/two"]
    assert environment["SSL_CERT_FILE"] == "/ca.pem"
    assert environment["UV_PYTHON_DOWNLOADS"] == "never"


def test_a_setting_of_uv_goes_before_pips(install: ModuleType) -> None:
    pip = {"index_url": "https://a/simple", "find_links": "/one"}
    options, environment = install.uv_settings(pip, {"UV_INDEX_URL": "https://z", "UV_TORCH_BACKEND": "cpu"})
    assert options == ["--find-links", "/one"]
    assert environment["UV_INDEX_URL"] == "https://z"
    assert environment["UV_TORCH_BACKEND"] == "cpu"


def test_without_settings_uv_uses_its_default_index(install: ModuleType) -> None:
    assert install.uv_settings({}, {})[0] == []


def test_settings_are_read_from_the_environment_of_pip(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/one /two")
    assert install.pip_settings()["find_links"] == "/one /two"


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("error: failed to copy\n  cause: No space left on device (os error 28)", "the disk is full"),
        ("error: Request failed after 3 retries\n  cause: dns error", "cannot be reached"),
        ("WARNING: NewConnectionError\nERROR: ResolutionImpossible: for help visit", "cannot be reached"),
        ("error: command 'gcc' failed: No such file or directory", "no C compiler"),
        ("WARNING: old\nerror: no such option\n", "error: no such option"),
    ],
)
def test_the_cause_of_a_failure_is_told_in_a_sentence(install: ModuleType, output: str, told: str) -> None:
    assert told in install.cause(output)
