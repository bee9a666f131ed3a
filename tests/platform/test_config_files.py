"""Settings of a file, options and pairs go over one another; what is wrong names itself and its place."""

from pathlib import Path
from typing import Any

import pytest

from cico_platform.config_files import MAX_BYTES, as_yaml, read_config, resolve
from cico_platform.errors import InputError
from cico_platform.settings import Settings, validated
from cico_platform.training.retrieval import RetrievalSettings


class Inner(Settings):
    """What is nested."""

    port: int = 0
    names: tuple[str, ...] = ()


class Outer(Settings):
    """What holds it."""

    lr: float = 0.1
    seed: int = 0
    title: str | None = "plain"
    inner: Inner = Inner()


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_goes_over_defaults_options_over_the_file_and_pairs_over_options(tmp_path: Path) -> None:
    file = read_config(written(tmp_path, "lr: 1e-3  # quick\nseed: 5\ninner:\n  port: 7\n"))
    assert resolve(Outer(), file) == Outer(lr=1e-3, seed=5, inner=Inner(port=7))
    assert resolve(Outer(), file, options={"seed": 6, "lr": None}) == Outer(
        lr=1e-3, seed=6, inner=Inner(port=7)
    )
    pairs = ["seed=8", "inner.names=[a, b]", "title=null"]
    expected = Outer(lr=1e-3, seed=8, title=None, inner=Inner(port=7, names=("a", "b")))
    assert resolve(Outer(), file, pairs, {"seed": 6}) == expected
    assert resolve(Outer(), file, None, {"inner.port": 9}).inner == Inner(port=9)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr: 0.1\nsed: 4\n", r"setting 'sed' \('.*run.yaml', line 2\): .*did you mean 'seed'"),
        ("inner:\n\n  prot: 4\n", r"setting 'inner.prot' \('.*run.yaml', line 3\): .*did you mean 'port'"),
        ("seed: many\n", r"setting 'seed' \('.*run.yaml', line 1\): .*integer.*was given 'many'"),
        ("inner:\n  names:\n  - a\n  - [b]\n", r"setting 'inner.names.1' \('.*', line 2\)"),
        ("seed: 1\nlr: 2\nseed: 3\n", "line 3: 'seed' was given in line 1 already"),
        ("seed: [1\n", "line 2: this is not YAML"),
        ("- lr\n- seed\n", "holds no settings"),
        ("? [a, b]\n: 3\n", "line 1: a name must be a word"),
        ("a: !!python/object/apply:os.getcwd []\n", "line 1: this is not YAML: could not determine"),
        ("a: &x {b: 1}\nc: *x\n", "aliases of groups are not taken"),
        ("lr: &x [*x]\n", "aliases of groups are not taken"),
        ("lr: " + "[" * 5000, "cannot be read as YAML"),
        ("seed: " + "1" * 70000, "more than 64 KiB"),
        ("seed: 2024-99-99\n", "cannot be read as YAML"),
    ],
)
def test_what_is_wrong_in_a_file_names_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        resolve(Outer(), read_config(written(tmp_path, text)))
    assert len(str(error.value)) < 400
    assert "\n" not in str(error.value)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_config(tmp_path / "missing.yaml")
    (tmp_path / "photo.yaml").write_bytes(b"\xff\xd8\xff\xe0" * 10)
    with pytest.raises(InputError, match="is not text in UTF-8"):
        read_config(tmp_path / "photo.yaml")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_config(tmp_path)
    assert resolve(Outer(), read_config(written(tmp_path, "# nothing yet\n"))) == Outer()
    assert (tmp_path / "run.yaml").stat().st_size < MAX_BYTES


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("lr", "--set takes name=value, not 'lr'"),
        ("inner.=3", "--set takes name=value"),
        ("lr.deep=3", r"setting 'lr' \(--set\)|setting 'lr'"),
        ("inner.port=x", r"setting 'inner.port' \(--set\)"),
        ("inner.names=[a", "can't read the value"),
        ("color=red", r"setting 'color' \(--set\): there is no such setting$"),
    ],
)
def test_a_wrong_pair_says_so(pair: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        resolve(Outer(), None, [pair])


def test_a_wrong_option_is_named_as_it_was_typed() -> None:
    with pytest.raises(InputError, match=r"setting 'seed' \(--seed\)"):
        resolve(Outer(), None, None, {"seed": "x"})
    long: dict[str, Any] = {"seed": "x" * 1000}
    with pytest.raises(InputError, match="x…"):
        validated(Outer, long)


def test_what_is_printed_is_read_back_the_same(tmp_path: Path) -> None:
    settings = RetrievalSettings(lr=3e-7, alpha=0.5, tracking={"trackers": ["mlflow"], "mlflow_uri": ""})
    file = read_config(written(tmp_path, as_yaml(settings, "settings")))
    assert resolve(RetrievalSettings(), file) == settings
    assert resolve(RetrievalSettings(), read_config(written(tmp_path, "alpha:\n"))).alpha is None
