"""The container image and the Compose file hold together."""

import re
from typing import Any

import jsonschema
import pytest
from check_jsonschema.builtin_schemas import get_builtin_schema
from deployment_files import DEPLOY, ROOT, documents


@pytest.fixture
def compose() -> dict[str, Any]:
    (document,) = documents(DEPLOY / "compose" / "compose.yaml")
    return document


def test_compose_file_matches_the_compose_specification(compose: dict[str, Any]) -> None:
    jsonschema.validate(compose, get_builtin_schema("vendor.compose-spec"))


def test_compose_brings_up_search_its_index_and_its_watchers(compose: dict[str, Any]) -> None:
    assert {"qdrant", "serve", "prometheus", "grafana"} <= set(compose["services"])
    assert compose["services"]["serve"]["command"][:2] == ["cico", "serve"]


def test_compose_opens_ports_to_this_machine_alone(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_mounts_what_exists(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / "compose" / source).is_dir()
            else:
                assert source in compose["volumes"]
    build = compose["services"]["serve"]["build"]
    assert ((DEPLOY / "compose" / build["context"]).resolve() / build["dockerfile"]).is_file()


def test_prometheus_scrapes_the_services_of_the_compose_file(compose: dict[str, Any]) -> None:
    (config,) = documents(DEPLOY / "prometheus" / "prometheus.yml")
    targets = [t for job in config["scrape_configs"] for s in job["static_configs"] for t in s["targets"]]
    assert {target.partition(":")[0] for target in targets} <= {*compose["services"], "localhost"}


def test_image_copies_what_exists_and_is_not_ignored() -> None:
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text()
    allowed = {
        line[1:]
        for line in (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
        if line[:1] == "!"
    }
    copied = [
        name for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.M) for name in line.split()[:-1]
    ]
    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert name in allowed


def test_image_installs_the_pinned_versions_and_runs_without_root() -> None:
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text()
    assert "--constraint constraints.txt" in dockerfile
    final = dockerfile.rpartition("\nFROM ")[2]
    users = re.findall(r"^USER (\S+)$", final, re.M)
    assert users
    assert int(users[-1]) >= 1000
