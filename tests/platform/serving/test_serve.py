"""The service on Ray Serve: more than it can do is refused at once, and stopping it leaves nothing behind."""

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from cico_command import Cico
from ray.serve.schema import (
    ApplicationStatus,
    ApplicationStatusOverview,
    DeploymentStatus,
    DeploymentStatusOverview,
    DeploymentStatusTrigger,
    ServeStatus,
)
from tiny_index import SENTENCES

from cico_platform.errors import CicoError, InputError
from cico_platform.index.base import open_index
from cico_platform.index.search import Searcher
from cico_platform.serving.app import check_port, failures, serve_index, stop_serving
from cico_platform.serving.settings import ServiceSettings

FLOOD = 40


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_until_ready(address: str) -> None:
    deadline = time.monotonic() + 240
    while httpx.get(f"{address}/readyz", timeout=60).status_code != 200:
        assert time.monotonic() < deadline, "the service did not get ready"
        time.sleep(0.5)


async def flood(address: str, video: Path) -> list[httpx.Response]:
    """Many videos at once."""
    limits = httpx.Limits(max_connections=FLOOD)
    async with httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as client:
        data = video.read_bytes()
        sent = [client.post("/v1/search/video", files={"file": ("v.mp4", data)}) for _ in range(FLOOD)]
        return list(await asyncio.gather(*sent))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_overload_is_refused_and_a_stopped_service_lets_go(
    ray_cluster: None, tiny_index: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_index / "index", tmp_path / "index")
    video = tiny_index / "videos" / "clip 1.mp4"
    settings = ServiceSettings(encoder_queue=2, searches_per_client=FLOOD, max_replicas=1)
    address = serve_index(tmp_path / "index", port=free_port(), blocking=False, settings=settings)
    try:
        wait_until_ready(address)
        with pytest.raises(CicoError, match="in use by"), Searcher.open(tmp_path / "index") as searcher:
            searcher.by_text(SENTENCES[1], 1)
        responses = asyncio.run(flood(address, video))
        codes = {r.status_code for r in responses}
        assert codes == {200, 503}
        for response in responses:
            if response.status_code == 200:
                assert response.json()["results"][0]["text"] == SENTENCES[1]
            else:
                assert response.headers["content-type"] == "application/problem+json"
                assert response.headers["retry-after"]
        after = httpx.post(f"{address}/v1/search", json={"text": SENTENCES[2]}, timeout=60)
        assert after.json()["results"][0]["video_id"] == "clip-2"
    finally:
        stop_serving()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/healthz")
    with open_index(str(tmp_path / "index"), must_exist=True) as index:
        assert index.alias("clips") == "clips-1"


def test_an_index_that_cannot_be_served_is_said_so_before_anything_starts(tmp_path: Path) -> None:
    with open_index(str(tmp_path / "index")) as index:
        index.create("c", 4)
        index.alias("clips", "c")
    with pytest.raises(CicoError, match="doesn't say which models"):
        serve_index(tmp_path / "index", port=free_port())
    with pytest.raises(InputError, match="holds no index"):
        serve_index(tmp_path / "none")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["search", "boy", "--index", "nowhere"], 2, "holds no index"),
        (["search", "boy"], 2, "--index"),
        (["search", "--index", "nowhere"], 2, "--video"),
        (["serve", "--index", "nowhere"], 2, "holds no index"),
    ],
)
def test_the_commands_say_what_is_wrong_without_a_traceback(
    cico: Cico, arguments: list[str], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cico(*arguments)
    assert result.returncode == code
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_the_installed_command_ends_with_the_code_of_the_error(tmp_path: Path) -> None:
    program = [Path(sys.executable).with_name("cico"), "search", "boy", "--index", "nowhere"]
    result = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert (result.returncode, result.stdout) == (2, "")
    assert "holds no index" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_service_that_did_not_come_up_says_why_each_deployment_failed() -> None:
    states = {
        "VideoEncoder": (
            DeploymentStatus.DEPLOY_FAILED,
            "failed.\nTraceback\nInputError: no file\n",
        ),
        "Ranker": (DeploymentStatus.HEALTHY, "up"),
        "SearchApi": (DeploymentStatus.DEPLOY_FAILED, ""),
    }
    trigger = DeploymentStatusTrigger.REPLICA_STARTUP_FAILED
    deployments = {name: DeploymentStatusOverview(s, trigger, {}, said) for name, (s, said) in states.items()}
    application = ApplicationStatusOverview(ApplicationStatus.DEPLOY_FAILED, "", 0.0, deployments)
    assert failures(ServeStatus(applications={"cico": application})) == "VideoEncoder: InputError: no file"
    assert failures(ServeStatus()) == ""


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="choose another --port"):
            check_port("127.0.0.1", taken.getsockname()[1])
