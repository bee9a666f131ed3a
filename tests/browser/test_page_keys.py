"""The page with API keys: it asks for one, sends it in a header alone, and clips play all the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_index import DrawnIndex
from live_page import PATIENCE_MS, LiveService, keeps_nobody_out, picture, until, watched
from playwright.sync_api import Browser, Page, Request, expect

from cico_platform.serving.keys import add_key, remove_key
from cico_platform.serving.settings import ServiceSettings

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PLAYABLE = """url => new Promise(resolve => {
    const video = document.createElement("video");
    video.onloadedmetadata = () => resolve(true);
    video.onerror = () => resolve(false);
    video.src = url;
})"""
WRONG = "cico_000000000000_wrong"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def key(keys: Path) -> str:
    return add_key(keys, "page")[1]


@pytest.fixture(scope="module")
def address(service: LiveService, keys: Path, key: str) -> str:
    return service.serve(ServiceSettings(keys=str(keys)))


@pytest.fixture
def page(browser: Browser, address: str, key: str) -> Iterator[Page]:
    """A watched page; no key may be in any address that it asked for."""
    asked: list[str] = []
    with watched(browser, address) as page:
        page.set_viewport_size({"width": 1180, "height": 520})  # some cards are out of sight
        page.on("request", lambda request: asked.append(request.url))
        yield page
        assert key not in page.url
    assert not [url for url in asked if "cico_" in url]


def give(page: Page, key: str) -> None:
    """Answer the dialog by keyboard."""
    expect(page.get_by_role("dialog", name="This service needs an API key")).to_be_visible()
    expect(page.get_by_label("API key", exact=True)).to_be_focused()
    page.keyboard.type(key)
    page.keyboard.press("Enter")


def search(page: Page, text: str) -> None:
    page.get_by_role("searchbox").fill(text)
    page.get_by_role("searchbox").press("Enter")


def shown(page: Page, clip: str) -> None:
    expect(page.locator(".card:not(.skeleton)").first).to_have_attribute(
        "data-clip", clip, timeout=PATIENCE_MS
    )


def test_a_key_is_asked_for_and_then_the_clips_play(page: Page, drawn: DrawnIndex, key: str) -> None:
    media: list[Request] = []
    page.on("request", lambda request: media.append(request) if request.url.endswith("/media") else None)
    search(page, drawn.sentences[3])
    give(page, key)
    shown(page, "clip-3")
    expect(page.get_by_role("dialog")).to_be_hidden()
    until(page, "v => v.readyState >= 2 && !v.paused && v.muted && v.currentTime > 0.2")
    source = page.locator(".card video").first.evaluate("v => v.src")
    assert source.startswith("blob:")
    assert media
    assert {request.header_value("authorization") for request in media} == {f"Bearer {key}"}
    # Those that are out of sight are not fetched.
    assert len({request.url for request in media}) < 12
    kept = page.evaluate("[JSON.stringify(sessionStorage), JSON.stringify(localStorage), document.cookie]")
    assert key in kept[0]
    assert kept[1:] == ["{}", ""]
    assert page.get_by_label("API key", exact=True).input_value() == ""
    picture(page, "with-key")
    # What is no longer shown is let go of.
    search(page, drawn.sentences[5])
    shown(page, "clip-5")
    until(page, "v => v.readyState >= 1")
    assert page.evaluate(PLAYABLE, page.locator(".card video").first.evaluate("v => v.src"))
    assert not page.evaluate(PLAYABLE, source)


def test_the_key_is_kept_for_the_tab_and_can_be_forgotten(page: Page, drawn: DrawnIndex, key: str) -> None:
    search(page, drawn.sentences[3])
    give(page, key)
    shown(page, "clip-3")
    page.reload()
    shown(page, "clip-3")
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.get_by_role("dialog")).to_be_visible(timeout=PATIENCE_MS)
    other.close()
    page.get_by_role("button", name="Forget the API key").click()
    assert key not in page.evaluate("JSON.stringify(sessionStorage)")
    search(page, drawn.sentences[4])
    expect(page.get_by_role("dialog")).to_be_visible(timeout=PATIENCE_MS)


def test_a_key_that_is_refused_is_asked_for_again_and_whoever_has_none_is_told(
    page: Page, drawn: DrawnIndex, key: str
) -> None:
    search(page, drawn.sentences[3])
    give(page, "two words")
    alert = page.get_by_role("dialog").get_by_role("alert")
    expect(alert).to_contain_text("no spaces")
    page.get_by_label("API key", exact=True).fill(WRONG)
    page.keyboard.press("Enter")
    expect(alert).to_contain_text("not known here", timeout=PATIENCE_MS)
    assert WRONG not in page.evaluate("JSON.stringify(sessionStorage)")
    picture(page, "key")
    page.keyboard.press("Escape")
    expect(page.get_by_role("alert").filter(has_text="have an API key")).to_be_visible()
    page.get_by_role("button", name="Search", exact=True).click()
    give(page, f"  {key} ")
    shown(page, "clip-3")


def test_a_key_that_is_removed_meanwhile_is_asked_for_again(
    page: Page, drawn: DrawnIndex, keys: Path, key: str
) -> None:
    row, short = add_key(keys, "guest")
    search(page, drawn.sentences[3])
    give(page, short)
    shown(page, "clip-3")
    remove_key(keys, row.id)
    page.locator(".card video").last.scroll_into_view_if_needed()
    expect(page.locator(".card .why").last).to_have_text(
        "This video needs another API key", timeout=PATIENCE_MS
    )
    page.get_by_role("button", name="More results").click()
    give(page, key)
    expect(page.locator(".card").nth(12)).to_be_visible(timeout=PATIENCE_MS)


def test_videos_are_searched_with_and_looked_into_with_a_key(page: Page, drawn: DrawnIndex, key: str) -> None:
    page.locator("#file").set_input_files(drawn.videos[2])
    give(page, key)
    expect(page.locator(".card .text").first).to_have_text(drawn.sentences[2], timeout=PATIENCE_MS)
    page.get_by_text("Look for a sentence inside a long video").click()
    page.get_by_label("The sentence").fill(drawn.sentences[7])
    page.get_by_label("The video", exact=True).set_input_files(drawn.long)
    page.get_by_role("button", name="Find it").click()
    expect(page.locator(".range").first).to_be_visible(timeout=PATIENCE_MS)


def test_a_file_too_large_to_be_held_is_said_so(page: Page, drawn: DrawnIndex, key: str) -> None:
    large = str(200 << 20)
    page.route(
        "**/v1/clips/clip-3/media",
        lambda route: route.fulfill(
            body=b"x", headers={"content-type": "video/mp4", "content-length": large}
        ),
    )
    search(page, drawn.sentences[3])
    give(page, key)
    expect(page.locator(".card .why").first).to_have_text(
        "This file is too large to be played with a key", timeout=PATIENCE_MS
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong_with_the_dialog(
    page: Page, drawn: DrawnIndex, key: str, scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": 390, "height": 844})
    search(page, drawn.sentences[3])
    give(page, WRONG)
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible(timeout=PATIENCE_MS)
    keeps_nobody_out(page)
    picture(page, f"key-{scheme}")
    page.keyboard.type(key)
    page.keyboard.press("Enter")
    shown(page, "clip-3")
    keeps_nobody_out(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
