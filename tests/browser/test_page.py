"""The page in a real Chromium, on the real service: sentences, videos, spans, nothing from elsewhere."""

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from drawn_index import DrawnIndex
from live_page import PATIENCE_MS, ask, details, picture, tab_to, until
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


def words_of(sentence: str) -> list[str]:
    return re.findall(r"[\w']+", sentence.lower())


def test_a_typed_sentence_shows_its_clip_playing_with_the_words_marked(page: Page, drawn: DrawnIndex) -> None:
    ask(page, drawn.sentences[1])
    card = page.locator(".card").first
    expect(card).to_have_attribute("data-clip", "clip-1")
    expect(card.locator(".text")).to_have_text(drawn.sentences[1])
    until(page, "v => v.readyState >= 2 && !v.paused && v.muted && v.currentTime > 0.2")
    until(page, "(v, t) => v.currentTime !== t", card.locator("video").evaluate("v => v.currentTime"))
    expect(card.locator(".word").first).to_be_hidden()
    details(page)
    words = words_of(drawn.sentences[1])
    assert card.locator(".word").all_inner_texts() == words
    assert card.locator(".span").count() == len(words)
    for box in card.locator(".span").evaluate_all("s => s.map(x => x.getBoundingClientRect().toJSON())"):
        track = card.locator(".track").bounding_box()
        assert track is not None
        assert box["width"] >= 4
        assert track["x"] - 1 <= box["left"] <= track["x"] + track["width"]
    picture(page, "light")


def test_a_word_lights_its_span_and_jumps_to_it_by_mouse_and_by_keyboard(
    page: Page, drawn: DrawnIndex
) -> None:
    ask(page, drawn.sentences[7])
    card = page.locator(".card").first
    details(page)
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


def test_a_video_finds_its_sentence(page: Page, drawn: DrawnIndex) -> None:
    page.locator("#file").set_input_files(drawn.videos[2])
    card = page.locator(".card:not(.skeleton)").first
    expect(card.locator(".text")).to_have_text(drawn.sentences[2], timeout=PATIENCE_MS)
    expect(page.locator("#asked-name")).to_have_text(drawn.videos[2].name)
    picture(page, "video")


def test_the_address_is_a_deep_link_and_the_back_button_works(
    page: Page, address: str, drawn: DrawnIndex
) -> None:
    asked = quote(drawn.sentences[6])
    page.goto(f"{address}/?q={asked}")
    expect(page.locator(".card").first).to_have_attribute("data-clip", "clip-6", timeout=PATIENCE_MS)
    expect(page.get_by_role("searchbox")).to_have_value(drawn.sentences[6])
    ask(page, drawn.sentences[0])
    assert page.url.endswith(f"?q={quote(drawn.sentences[0])}")
    page.go_back()
    expect(page.locator(".card").first).to_have_attribute("data-clip", "clip-6", timeout=PATIENCE_MS)


def test_the_speed_holds_for_every_clip(page: Page) -> None:
    ask(page, "dog")
    page.get_by_text("½×", exact=True).click()
    assert set(page.locator(".card video").evaluate_all("vs => vs.map(v => v.playbackRate)")) == {0.5}
    ask(page, "mother")
    assert set(page.locator(".card video").evaluate_all("vs => vs.map(v => v.playbackRate)")) == {0.5}


def test_the_keyboard_alone_is_enough(page: Page, drawn: DrawnIndex) -> None:
    page.keyboard.type(drawn.sentences[4])
    page.keyboard.press("Enter")
    expect(page.locator(".card").first).to_have_attribute("data-clip", "clip-4", timeout=PATIENCE_MS)
    tab_to(page, ".more-of-it")
    page.keyboard.press("Enter")
    tab_to(page, ".word")
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
def test_the_page_fits_a_phone_and_the_dark(
    page: Page, drawn: DrawnIndex, name: str, width: int, scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 844})
    picture(page, f"{name}-empty")
    ask(page, drawn.sentences[0])
    until(page, "v => v.currentTime > 0.3")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".card").first.bounding_box() is not None
    picture(page, name)
