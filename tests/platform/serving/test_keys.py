"""Whoever needs a key gets nothing without it, and nobody asks more often than the rate allows."""

import json
import stat
from pathlib import Path

import pytest
from api_in_process import SETTINGS, Encoders, make_service, problem
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from cico_platform.cli.main import app as cli
from cico_platform.errors import InputError
from cico_platform.index.search import Searcher
from cico_platform.serving.http import build_app
from cico_platform.serving.keys import KeyRing, add_key, read_keys, remove_key
from cico_platform.serving.rates import TokenBucket


def serve(searcher: Searcher, encoders: Encoders, **limits: object) -> TestClient:
    service = make_service(searcher, encoders, SETTINGS.model_copy(update=limits))
    return TestClient(build_app(service, "0"), raise_server_exceptions=False)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_the_file_keeps_salted_hashes_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    pairs = [add_key(file, "archive"), add_key(file, "archive")]
    text = file.read_text()
    for row, key in pairs:
        assert key.split("_", 2)[2] not in text
        assert row.hash in text
    assert len({row.hash for row, _ in pairs}) == len({row.salt for row, _ in pairs}) == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    ring = KeyRing(file)
    row, key = pairs[0]
    assert ring.find(key) == row
    other = pairs[1][1].split("_", 2)[2]
    for wrong in ("", "cico", key[:-1], key + "x", f"cico_{row.id}_", f"cico_{row.id}_{other}", "x" + key):
        assert ring.find(wrong) is None


def test_nothing_is_answered_without_a_key_but_what_says_that_it_lives(
    searcher: Searcher, encoders: Encoders, tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    _, key = add_key(file, "archive")
    client = serve(searcher, encoders, keys=str(file))
    for path in ("/v1/collections", "/v1/clips/clip-1", "/v1/clips/clip-1/media", "/v1/clips/nobody"):
        refused = client.get(path)
        assert "API key" in problem(refused, 401)["detail"]
        assert refused.headers["www-authenticate"].startswith("Bearer")
    problem(client.post("/v1/search", json={"text": "boy"}), 401)
    problem(client.post("/v1/search", json={"text": "boy"}, headers=bearer(key + "x")), 401)
    assert client.post("/v1/search", json={"text": "boy"}, headers=bearer(key)).status_code == 200
    assert client.get("/v1/collections", headers={"x-api-key": key}).status_code == 200
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/"):
        assert client.get(path).status_code == 200
    described = client.get("/openapi.json").json()
    assert described["paths"]["/v1/search"]["post"]["security"] == [{"key": []}]
    assert "security" not in described["paths"]["/healthz"]["get"]


def test_keys_come_and_go_while_the_service_runs(
    searcher: Searcher, encoders: Encoders, tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    first, _ = add_key(file, "first")
    client = serve(searcher, encoders, keys=str(file))
    second, key = add_key(file, "second")
    assert client.get("/v1/collections", headers=bearer(key)).status_code == 200
    remove_key(file, second.id)
    problem(client.get("/v1/collections", headers=bearer(key)), 401)
    assert [row.id for row in read_keys(file)] == [first.id]
    file.write_text("no keys")
    problem(client.get("/v1/collections", headers=bearer(key)), 503)


def test_a_rate_holds_for_each_key_and_a_key_may_have_its_own(
    searcher: Searcher, encoders: Encoders, tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    keys = [add_key(file, "a")[1], add_key(file, "b")[1], add_key(file, "c", per_minute=6000)[1]]
    client = serve(searcher, encoders, keys=str(file), per_minute=2, burst=3)
    codes = [
        [client.get("/v1/collections", headers=bearer(key)).status_code for _ in range(4)] for key in keys
    ]
    assert codes[:2] == [[200, 200, 200, 429]] * 2
    refused = client.get("/v1/collections", headers=bearer(keys[0]))
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert "2 requests a minute" in problem(refused, 429)["detail"]
    assert client.get("/healthz").status_code == 200


def test_without_keys_a_rate_holds_for_an_address(searcher: Searcher, encoders: Encoders) -> None:
    client = serve(searcher, encoders, per_minute=1, burst=1)
    assert [client.get("/v1/collections").status_code for _ in range(2)] == [200, 429]


def test_a_bucket_lets_the_rate_through_in_the_long_run() -> None:
    bucket = TokenBucket(per_minute=30, burst=5, now=0)
    passed = sum(bucket.take(tenth / 10) == 0 for tenth in range(6000))
    assert passed == pytest.approx(5 + 300, abs=1)


def test_other_origins_may_ask_only_if_they_are_listed(searcher: Searcher, encoders: Encoders) -> None:
    origin = "https://dictionary.example"
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    closed = serve(searcher, encoders)
    assert (
        "access-control-allow-origin" not in closed.get("/v1/collections", headers={"origin": origin}).headers
    )
    assert closed.options("/v1/search", headers=asked).status_code == 405
    opened = serve(searcher, encoders, cors_origins=(origin,), per_minute=1, burst=2)
    assert opened.options("/v1/search", headers=asked).headers["access-control-allow-origin"] == origin
    other = opened.options("/v1/search", headers={**asked, "origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    answers = [opened.get("/v1/collections", headers={"origin": origin}) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert {one.headers["access-control-allow-origin"] for one in answers} == {origin}


def test_a_file_that_holds_no_keys_is_said_so_before_anything_is_served(
    searcher: Searcher, encoders: Encoders, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no file of keys"):
        serve(searcher, encoders, keys=str(tmp_path / "none.json"))
    (tmp_path / "odd.json").write_text('{"keys": [{"id": 1}]}')
    with pytest.raises(InputError, match="no file of keys"):
        serve(searcher, encoders, keys=str(tmp_path / "odd.json"))


def test_the_command_line_adds_lists_and_removes_keys(tmp_path: Path) -> None:
    runner, file = CliRunner(), str(tmp_path / "keys.json")
    added = json.loads(runner.invoke(cli, ["keys", "add", file, "--name", "archive", "--json"]).stdout)
    assert KeyRing(file).find(added["key"]) is not None
    listed = runner.invoke(cli, ["keys", "list", file, "--json"]).stdout
    assert [row["name"] for row in json.loads(listed)["keys"]] == ["archive"]
    for hidden in (added["key"], "hash", "salt"):
        assert hidden not in listed
    removed = runner.invoke(cli, ["keys", "remove", file, added["id"], "--json"])
    assert json.loads(removed.stdout)["removed"] == added["id"]
    assert KeyRing(file).find(added["key"]) is None
    again = runner.invoke(cli, ["keys", "remove", file, added["id"]])
    assert isinstance(again.exception, InputError)
