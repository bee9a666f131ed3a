"""The page in a real Chromium, on the real service: sentences, videos, spans, nothing from elsewhere."""

import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tiny_index import SENTENCES, build_tiny_index

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright  # noqa: E402

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]
PATIENCE_MS = 60_000
# Where to keep pictures of the page, if anywhere.
PICTURES = os.environ.get("CICO_PAGE_PICTURES")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    folder = tmp_path_factory.mktemp("tiny")
    build_tiny_index(folder)
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The address of the real service: Ray Serve with both encoders and the API."""
    import ray

    from cico_platform.serving.app import serve_index, stop_serving

    ours = not ray.is_initialized()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = serve_index(folder / "index", port=port, blocking=False)
    deadline = time.monotonic() + 240
    while httpx.get(f"{address}/readyz", timeout=60).status_code != 200:
        assert time.monotonic() < deadline, "the service did not get ready"
        time.sleep(0.5)
    yield address
    stop_serving(and_ray=ours)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A fresh page; afterwards, nothing may have gone wrong on it or been asked of anyone else."""
    context = browser.new_context(viewport={"width": 1180, "height": 860}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    asked: list[str] = []
    wrong: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if "Content Security" in line.text else None)
    page.goto(address)
    yield page
    context.close()
    elsewhere = [url for url in asked if not url.startswith((address, "blob:", "data:"))]
    assert elsewhere == []
    assert wrong == []


def ask(page: Page, text: str) -> None:
    page.get_by_role("searchbox").fill(text)
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator(".card:not(.skeleton)").first).to_be_visible(timeout=PATIENCE_MS)


def until(page: Page, script: str, argument: object = None) -> None:
    """Wait until a function of the first result's video is true (the page's policy forbids the usual way)."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not page.locator(".card video").first.evaluate(script, argument):
        assert time.monotonic() < deadline, f"never true: {script}"
        page.wait_for_timeout(100)


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


def test_a_typed_sentence_shows_its_clip_playing_with_the_words_marked(page: Page) -> None:
    ask(page, SENTENCES[0])
    card = page.locator(".card").first
    expect(card).to_have_attribute("data-clip", "clip-0")
    expect(card.locator(".text")).to_have_text(SENTENCES[0])
    until(page, "v => v.readyState >= 2 && !v.paused && v.muted && v.currentTime > 0.2")
    until(page, "(v, t) => v.currentTime !== t", card.locator("video").evaluate("v => v.currentTime"))
    assert card.locator(".word").all_inner_texts() == ["the", "boy", "reads", "a", "book"]
    assert card.locator(".span").count() == 5
    for box in card.locator(".span").evaluate_all("s => s.map(x => x.getBoundingClientRect().toJSON())"):
        track = card.locator(".track").bounding_box()
        assert track is not None
        assert box["width"] >= 4
        assert track["x"] - 1 <= box["left"] <= track["x"] + track["width"]
    picture(page, "light")


def test_a_word_lights_its_span_and_jumps_to_it_by_mouse_and_by_keyboard(page: Page) -> None:
    ask(page, SENTENCES[1])
    card = page.locator(".card").first
    until(page, "v => v.readyState >= 2")
    card.locator(".play").click()
    expect(card.locator(".play")).to_have_attribute("aria-pressed", "false")
    words = card.locator(".word")
    for number, act in ((4, "hover"), (1, "focus")):
        word = words.nth(number)
        start = float(word.get_attribute("data-start") or "nan")
        word.hover() if act == "hover" else word.focus()
        expect(card.locator(".span").nth(number)).to_have_class("span lit")
        until(page, "(v, t) => Math.abs(v.currentTime - t) < 0.05", start)
    picture(page, "word")


def test_a_video_finds_its_sentence(page: Page, folder: Path) -> None:
    page.locator("#file").set_input_files(folder / "videos" / "clip 2.mp4")
    card = page.locator(".card:not(.skeleton)").first
    expect(card.locator(".text")).to_have_text(SENTENCES[2], timeout=PATIENCE_MS)
    expect(page.locator("#asked-name")).to_have_text("clip 2.mp4")
    picture(page, "video")


def test_the_address_is_a_deep_link_and_the_back_button_works(page: Page, address: str) -> None:
    page.goto(f"{address}/?q=Girl%2C%20boy%2C%20school")
    expect(page.locator(".card").first).to_have_attribute("data-clip", "clip-6", timeout=PATIENCE_MS)
    expect(page.get_by_role("searchbox")).to_have_value("Girl, boy, school")
    ask(page, SENTENCES[0])
    assert page.url.endswith("?q=The%20boy%20reads%20a%20book")
    page.go_back()
    expect(page.locator(".card").first).to_have_attribute("data-clip", "clip-6", timeout=PATIENCE_MS)


def test_the_speed_holds_for_every_clip(page: Page) -> None:
    ask(page, "boy")
    page.get_by_text("½×", exact=True).click()
    assert set(page.locator(".card video").evaluate_all("vs => vs.map(v => v.playbackRate)")) == {0.5}
    ask(page, "girl")
    assert set(page.locator(".card video").evaluate_all("vs => vs.map(v => v.playbackRate)")) == {0.5}


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    page.keyboard.type(SENTENCES[4])
    page.keyboard.press("Enter")
    expect(page.locator(".card").first).to_have_attribute("data-clip", "clip-4", timeout=PATIENCE_MS)
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('word')"):
            break
    expect(page.locator(".word").first).to_be_focused()
    expect(page.locator(".span").first).to_have_class("span lit")


def test_what_cannot_be_searched_is_said_in_a_sentence(page: Page, tmp_path: Path) -> None:
    letter = tmp_path / "letter.mp4"
    letter.write_text("dear sir")
    page.locator("#file").set_input_files(letter)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("can't be searched with", timeout=PATIENCE_MS)
    picture(page, "error")
    note = tmp_path / "note.txt"
    note.write_text("dear sir")
    page.locator("#file").set_input_files(note)
    expect(alert).to_contain_text("not a video")
    page.route("**/v1/search", lambda route: route.abort())
    page.get_by_role("searchbox").fill("boy")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(alert).to_contain_text("doesn't answer")


def test_nothing_found_is_said_so(page: Page) -> None:
    empty = '{"results": [], "seconds": 0.01, "request_id": "x"}'
    page.route("**/v1/search", lambda route: route.fulfill(body=empty, content_type="application/json"))
    page.get_by_role("searchbox").fill("boy")
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_text("Nothing fits")).to_be_visible()


@pytest.mark.parametrize(("name", "width", "scheme"), [("dark", 1180, "dark"), ("phone", 390, "light")])
def test_the_page_fits_a_phone_and_the_dark(page: Page, name: str, width: int, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 844})
    picture(page, f"{name}-empty")
    ask(page, SENTENCES[0])
    until(page, "v => v.currentTime > 0.3")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".card").first.bounding_box() is not None
    picture(page, name)
