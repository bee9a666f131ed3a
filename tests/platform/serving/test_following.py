"""A service notices that another collection is live, and no request fails or meets half of each for it."""

import socket
import threading
import time
from pathlib import Path

import httpx
import pytest
from small_collections import make_model, texts, write_collection

from cico_model.checkpoint import save_sign_encoder
from cico_model.config import SIGN_ENCODERS
from cico_model.sign_encoder import SignEncoder
from cico_platform.index.base import VectorIndex, open_index
from cico_platform.index.writer import roll_back
from cico_platform.serving.app import serve_index, stop_serving
from cico_platform.serving.settings import ServiceSettings


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(address: str, collection: str) -> None:
    deadline = time.monotonic() + 240
    while True:
        answer = httpx.get(f"{address}/readyz", timeout=60)
        if answer.status_code == 200 and answer.json()["collection"] == collection:
            return
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_reindexing_and_rolling_back_under_load_fails_no_search_and_mixes_no_models(
    ray_cluster: None, tmp_path: Path
) -> None:
    location = str(tmp_path / "index")
    config = SIGN_ENCODERS["tiny"]
    models = {
        f"clips-{n}": make_model(tmp_path / f"clips-{n}", 16 * n, n, config.feature_dim) for n in (1, 2)
    }
    encoder = tmp_path / "encoder"
    save_sign_encoder(encoder, SignEncoder(2, config), ["book", "letter"])

    def build(index: VectorIndex, name: str) -> None:
        write_collection(index, name, tmp_path / name, models[name], (str(encoder),))

    with open_index(location) as index:
        build(index, "clips-1")
    settings = ServiceSettings(searches=100)  # nothing shall be refused for a slow machine
    address = serve_index(location, port=free_port(), blocking=False, settings=settings)
    wrong: list[str] = []
    answers = 0
    stop = threading.Event()

    def search() -> None:
        nonlocal answers
        with httpx.Client(base_url=address, timeout=60) as client:
            while not stop.is_set():
                answer = client.post("/v1/search", json={"text": texts()["clip-3"], "limit": 1})
                # A query of one model against vectors of the other would not fit: their widths differ.
                if answer.status_code != 200 or answer.json()["results"][0]["video_id"] != "clip-3":
                    wrong.append(answer.text)
                answers += 1

    try:
        wait_for(address, "clips-1")
        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        with open_index(location) as index:
            build(index, "clips-2")
        wait_for(address, "clips-2")
        with open_index(location) as index:
            assert roll_back(index) == "clips-1"
        wait_for(address, "clips-1")
        stop.set()
        for thread in threads:
            thread.join()
    finally:
        stop.set()
        stop_serving()
    assert answers > 20
    assert not wrong, wrong[:3]
