"""One file serves an index: here with `cico serve --config`, on a cluster with Ray's `serve deploy`."""

import importlib
from pathlib import Path

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema
from typer.testing import CliRunner

from cico_platform.cli.main import app
from cico_platform.errors import InputError
from cico_platform.serving.application import ServedIndex, application

OPTIONS = ["--index", "http://qdrant:6333", "--port", "9000", "--keys", "keys.json", "--per-minute", "60"]
MORE = ["--cors-origin", "https://a.example", "--media-root", "s3://clips", "--set", "service.max_replicas=4"]


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["serve", *arguments, "--print-config"])
    if result.exception:
        raise result.exception
    return result.stdout


def test_the_printed_file_is_one_that_serve_deploy_takes() -> None:
    config = ServeDeploySchema.model_validate(yaml.safe_load(printed(*OPTIONS, *MORE)))
    (served,) = config.applications
    assert (served.name, served.route_prefix) == ("cico", "/")
    module, _, name = served.import_path.partition(":")
    assert getattr(importlib.import_module(module), name) is application
    arguments = ServedIndex.model_validate(served.args)
    assert (arguments.index, arguments.alias) == ("http://qdrant:6333", "clips")
    assert (arguments.service.keys, arguments.service.per_minute) == ("keys.json", 60)
    assert arguments.service.cors_origins == ("https://a.example",)
    assert arguments.service.media_roots == ("s3://clips",)
    assert arguments.service.max_replicas == 4
    assert (config.http_options.port, config.http_options.request_timeout_s) == (9000, 120)


def test_the_printed_file_says_the_same_when_it_is_read_and_options_go_over_it(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(printed(*OPTIONS, *MORE))
    assert printed("--config", str(file)) == file.read_text()
    changed = yaml.safe_load(printed("--config", str(file), "--port", "9001", "--set", "service.burst=3"))
    assert changed["http_options"]["port"] == 9001
    assert changed["applications"][0]["args"]["service"]["burst"] == 3


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("max_replicas", "max_replica", r"max_replica.*line \d+.*did you mean 'max_replicas'"),
        ("port: 9000", "port: 0", r"port.*line \d+"),
        ("cico_platform.serving.application", "other.module", "import_path must be"),
        ("route_prefix: /", "route_prefix: /\n  deployments: []", "only 'serve deploy' takes 'deployments'"),
        ("applications:", "proxy_location: HeadOnly\napplications:", "takes 'proxy_location'"),
        ("applications:", "apps:", "must have one application"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(old: str, new: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    text = printed(*OPTIONS)
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=says):
        printed("--config", str(file))


def test_an_index_must_be_named() -> None:
    with pytest.raises(InputError, match="--index"):
        printed()
