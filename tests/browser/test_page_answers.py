"""What the page makes of an answer: how likely it is right, nothing fits, more of it, parts of a video."""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from drawn_index import CLIPS, NONSENSE, DrawnIndex
from live_page import PATIENCE_MS, ask, keeps_nobody_out, picture, until
from PIL import Image
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

# Where the README's pictures go when they are made anew.
SCREENSHOTS = os.environ.get("CICO_SCREENSHOTS")
SCHEMES = [("light", 1180), ("dark", 1180), ("light", 390), ("dark", 390)]


def percent(page: Page, number: int) -> int:
    said = page.locator(".card").nth(number).locator(".chance").inner_text()
    match = re.fullmatch(r"(over |under )?(\d+)% likely right", said.strip())
    assert match, said
    return int(match[2])


def look_inside(page: Page, text: str, video: Path) -> None:
    page.get_by_text("Look for a sentence inside a long video").click()
    page.get_by_label("The sentence").fill(text)
    page.get_by_label("The video", exact=True).set_input_files(video)
    page.get_by_role("button", name="Find it").click()


def test_each_result_says_in_words_how_likely_it_is_right(page: Page, drawn: DrawnIndex) -> None:
    with page.expect_response("**/v1/search") as answered:
        ask(page, drawn.sentences[0])
    results = answered.value.json()["results"]
    chances = [percent(page, number) for number in range(len(results))]
    assert chances[0] >= 85 > 50 > chances[-1]
    for said, result in zip(chances, results, strict=True):
        assert said == max(1, round(100 * result["probability"]))
    width = page.locator(".chance i").first.evaluate("i => i.firstElementChild.offsetWidth / i.offsetWidth")
    assert width == pytest.approx(results[0]["probability"], abs=0.05)
    expect(page.get_by_text("Nothing fits")).to_have_count(0)


def test_that_nothing_fits_is_said_above_the_nearest(page: Page, drawn: DrawnIndex) -> None:
    ask(page, NONSENSE)
    said = page.get_by_role("status").filter(has_text="Nothing fits")
    expect(said).to_contain_text("only the nearest")
    expect(page.locator("#summary")).to_contain_text("Nearest anyway: 12 clips")
    assert page.locator(".card").count() == 12
    assert percent(page, 0) < 50
    above, below = said.bounding_box(), page.locator(".card").first.bounding_box()
    assert above is not None
    assert below is not None
    assert above["y"] + above["height"] <= below["y"]
    picture(page, "nothing-fits")
    ask(page, drawn.sentences[3])
    expect(page.locator(".card").first).to_have_attribute("data-clip", "clip-3")
    expect(said).to_be_hidden()


@pytest.mark.parametrize("way", ["text", "video"])
def test_more_results_follow_the_first_ones_and_the_focus_with_them(
    page: Page, drawn: DrawnIndex, way: str
) -> None:
    if way == "text":
        ask(page, "dog")
    else:
        page.locator("#file").set_input_files(drawn.videos[5])
    expect(page.locator(".card:not(.skeleton)")).to_have_count(12, timeout=PATIENCE_MS)
    button = page.get_by_role("button", name="More results")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(CLIPS, timeout=PATIENCE_MS)
    expect(button).to_be_hidden()
    expect(page.locator(".card").nth(12)).to_be_focused()
    expect(page.locator("#summary")).to_contain_text(f"{CLIPS} ")
    clips = page.locator(".card").evaluate_all("cards => cards.map(card => card.dataset.clip)")
    assert sorted(clips) == sorted(f"clip-{number}" for number in range(CLIPS))
    expect(page.locator(".card").nth(12).locator("video")).to_have_attribute(
        "aria-label", re.compile("^Result 13: ")
    )


def test_more_results_that_do_not_come_leave_those_that_are_there(page: Page) -> None:
    ask(page, "dog")
    page.route("**/v1/search", lambda route: route.abort())
    page.get_by_role("button", name="More results").click()
    expect(page.locator("#more-said")).to_contain_text("doesn't answer")
    assert page.locator(".card").count() == 12
    page.unroute("**/v1/search")
    page.get_by_role("button", name="More results").click()
    expect(page.locator(".card")).to_have_count(CLIPS)
    expect(page.locator("#more-said")).to_have_text("")


def test_a_sentence_inside_a_long_video_plays_from_the_file_where_it_is_signed(
    page: Page, drawn: DrawnIndex
) -> None:
    look_inside(page, drawn.sentences[7], drawn.long)
    parts = page.locator(".range")
    expect(parts.first).to_be_visible(timeout=PATIENCE_MS)
    said = parts.first.inner_text()
    match = re.match(r"0:(\d\d\.\d) – 0:(\d\d\.\d)", said)
    assert match, said
    start, end = float(match[1]), float(match[2])
    parts.first.press("Enter")
    expect(parts.first).to_have_attribute("aria-current", "true")
    until(page, "(v, t) => v.currentTime >= t", start, "#inside-video")
    until(page, "v => v.paused", None, "#inside-video")
    stopped = page.locator("#inside-video").evaluate("v => v.currentTime")
    assert end - 0.1 <= stopped <= end + 1.0
    assert page.locator("#inside-video").evaluate("v => v.currentSrc").startswith("blob:")
    picture(page, "inside")


def test_a_file_that_breaks_off_is_looked_into_and_how_far_is_said(
    page: Page, drawn: DrawnIndex, tmp_path: Path
) -> None:
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(drawn.long.read_bytes()[: drawn.long.stat().st_size // 2])
    with page.expect_response("**/v1/search/inside") as answered:
        look_inside(page, drawn.sentences[7], torn)
    read = answered.value.json()["read_seconds"]
    said = page.locator("#inside-said")
    expect(said).to_contain_text("the file can be read until 0:", timeout=PATIENCE_MS)
    match = re.search(r"until 0:(\d\d\.\d) only$", said.inner_text())
    assert match, said.inner_text()
    assert float(match[1]) == pytest.approx(read, abs=0.06)
    assert 1 < read < page.locator("#inside-video").evaluate("v => v.duration") - 1


def test_what_can_not_be_looked_into_is_said_in_a_sentence(page: Page, tmp_path: Path) -> None:
    letter, large = tmp_path / "letter.mp4", tmp_path / "large.mp4"
    letter.write_text("dear sir")
    large.write_bytes(os.urandom(3 << 20))
    look_inside(page, "the dog", letter)
    said = page.locator("#inside-said")
    expect(said).to_contain_text("can't be searched in", timeout=PATIENCE_MS)
    expect(said).to_have_attribute("role", "alert")
    page.get_by_label("The video", exact=True).set_input_files(large)
    page.get_by_role("button", name="Find it").click()
    expect(said).to_contain_text("larger than 2 MiB", timeout=PATIENCE_MS)


def test_the_keyboard_alone_looks_inside_and_plays_a_part(page: Page, drawn: DrawnIndex) -> None:
    summary = page.locator("#inside summary")
    for _ in range(10):
        page.keyboard.press("Tab")
        if summary.evaluate("s => s === document.activeElement"):
            break
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type(drawn.sentences[6])
    page.keyboard.press("Tab")
    expect(page.locator("#inside-file")).to_be_focused()
    page.locator("#inside-file").set_input_files(drawn.long)  # the system's own dialog chooses it
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".range").first).to_be_visible(timeout=PATIENCE_MS)
    for _ in range(16):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('range')"):
            break
    page.keyboard.press("Space")
    until(page, "v => v.currentTime > 0", None, "#inside-video")


@pytest.fixture(params=SCHEMES, ids=[f"{scheme} {width}" for scheme, width in SCHEMES])
def looks(request: pytest.FixtureRequest, page: Page) -> Iterator[Page]:
    scheme, width = request.param
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    yield page
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_axe_finds_nothing_that_keeps_anyone_out(
    looks: Page, drawn: DrawnIndex, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id.replace(" ", "-")
    keeps_nobody_out(looks)
    ask(looks, NONSENSE)
    keeps_nobody_out(looks)
    picture(looks, f"unfit-{name}")
    ask(looks, drawn.sentences[0])
    until(looks, "v => v.currentTime > 0.3")
    looks.get_by_role("button", name="More results").click()
    expect(looks.locator(".card")).to_have_count(CLIPS)
    look_inside(looks, drawn.sentences[7], drawn.long)
    expect(looks.locator(".range").first).to_be_visible(timeout=PATIENCE_MS)
    looks.locator(".range").first.click()
    until(looks, "v => v.currentTime > 0.3", None, "#inside-video")
    keeps_nobody_out(looks)
    picture(looks, f"inside-{name}")


@pytest.mark.parametrize(("name", "width", "height"), [("page", 1180, 940), ("page-phone", 390, 844)])
def test_the_pictures_of_the_readme_can_be_taken(
    page: Page, drawn: DrawnIndex, name: str, width: int, height: int
) -> None:
    """`CICO_SCREENSHOTS=docs` writes them."""
    page.set_viewport_size({"width": width, "height": height})
    ask(page, drawn.sentences[8])
    expect(page.locator(".card")).to_have_count(12)
    for video in page.locator(".card video").all()[:3]:
        video.evaluate("v => v.scrollIntoView({ block: 'center' })")
    page.evaluate("scrollTo(0, 0)")
    for number in range(1 if width < 600 else 3):
        until(
            page,
            "v => v.readyState >= 2 && v.currentTime > 0.8",
            None,
            f".card:nth-child({number + 1}) video",
        )
    page.mouse.move(2, 300)
    taken = page.screenshot()
    image = np.asarray(Image.open(io.BytesIO(taken)).convert("RGB"))
    assert image.shape == (height, width, 3)
    stage = page.locator(".card .stage").first.bounding_box()
    assert stage is not None
    top, left = round(stage["y"]), round(stage["x"])
    clip = image[top : top + round(stage["height"]), left : left + round(stage["width"])]
    for part in (image, clip):
        assert len(np.unique(part.reshape(-1, 3), axis=0)) > 500, "it is blank"
        assert part.std() > 15
    if SCREENSHOTS:
        (Path(SCREENSHOTS) / f"{name}.png").write_bytes(taken)
