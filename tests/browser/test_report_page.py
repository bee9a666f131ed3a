"""The report of an evaluation in a real Chromium, opened as a file: it plays, it fits, it asks no one."""

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from live_page import CHROMIUM
from report_sample import BROKEN, FRAMES, MISSING, PART, PART_END, PART_START, write_sample

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Browser, Locator, Page, expect  # noqa: E402

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

PATIENCE_MS = 30_000
# Where to keep pictures of the page, if anywhere.
PICTURES = os.environ.get("CICO_PAGE_PICTURES")
LISTS = ("worst-t2v", "worst-v2t", "best-t2v", "best-v2t")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a split whose every query is shown: lists of 9 and 9."""
    from cico_platform.evaluation.evaluate import evaluate

    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    corpus, features, model = write_sample(tmp_path_factory.mktemp("report"))
    evaluate(corpus, features, model, "test", corpus.parent / "report")
    return corpus.parent / "report" / "report.html"


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    """The report as it was just opened; afterwards, it may have asked for nothing but clips of the corpus."""
    context = browser.new_context(
        viewport={"width": 1180, "height": 900}, color_scheme="light", accept_downloads=True
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if line.type in ("error", "warning") else None)
    page.goto(report.as_uri())
    yield page
    context.close()
    clips = (report.parent.parent / "corpus & more" / "videos").as_uri()
    assert [
        url for url in asked if url != report.as_uri() and not url.startswith((clips, "data:", "blob:"))
    ] == []
    assert wrong == []


def open_list(page: Page, name: str) -> Locator:
    found = page.locator(f"#{name}")
    found.evaluate("details => { details.open = true; }")
    return found


def video_of(page: Page, clip: str) -> Locator:
    """The first place where a clip is shown as the right answer."""
    for name in LISTS:
        open_list(page, name)
    return page.locator(".clip.right", has=page.get_by_text(f"{clip} · ", exact=False)).first


def moments(page: Page, video: Locator, count: int) -> list[float]:
    """Where the video is, every tenth of a second."""
    found = []
    for _ in range(count):
        found.append(float(video.evaluate("v => v.currentTime")))
        page.wait_for_timeout(100)
    return found


def wait_until(page: Page, video: Locator, script: str) -> None:
    for _ in range(PATIENCE_MS // 100):
        if video.evaluate(script):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never true: {script}")


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"report-{name}.png"), full_page=True)


def test_nothing_is_fetched_before_a_clip_is_played_and_then_it_plays(page: Page) -> None:
    picture(page, "light")
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0
    video = page.locator("#worst-t2v video[poster]").first
    assert video.evaluate("v => [v.readyState, v.muted, v.loop]") == [0, True, True]
    video.evaluate("v => v.play()")
    wait_until(page, video, "v => v.readyState >= 2 && v.currentTime > 0.3 && v.videoWidth === 64")


def test_a_button_plays_and_pauses_all_clips_of_a_list(page: Page) -> None:
    button = page.get_by_role("button", name="Play these clips").first
    button.focus()
    page.keyboard.press("Enter")
    for video in page.locator("#worst-t2v video[poster]").all():
        wait_until(page, video, "v => v.currentTime > 0 && !v.paused")
    page.get_by_role("button", name="Pause these clips").press("Enter")
    assert page.locator("#worst-t2v video").evaluate_all("vs => vs.every(v => v.paused)")


def test_a_part_of_a_file_plays_that_part_round_and_round(page: Page) -> None:
    place = video_of(page, PART)
    video = place.locator("video")
    page.locator("details", has=place).get_by_role("button", name="Play these clips").press("Enter")
    wait_until(page, video, f"v => v.currentTime > {PART_START}")
    seen = moments(page, video, 25)
    assert min(seen) >= PART_START - 0.05
    assert max(seen) <= PART_END + 0.3
    assert any(after < before for before, after in pairwise(seen)), "it never began again"


def test_a_clip_without_a_playable_file_is_shown_as_well_as_can_be(page: Page) -> None:
    frames = video_of(page, FRAMES)
    expect(frames.locator("video")).to_have_count(0)
    expect(frames.get_by_role("img")).to_have_attribute("src", re.compile("^data:image/jpeg"))
    expect(video_of(page, MISSING)).to_contain_text("No picture of this clip can be had")
    broken = video_of(page, BROKEN)
    assert broken.locator("video").get_attribute("poster") is None
    broken.locator("video").evaluate("v => v.play().catch(() => {})")
    expect(broken.get_by_text("can’t play the clip")).to_be_visible()


def test_the_keyboard_reaches_everything_that_does_something(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the report")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    reached = set()
    name_of = (
        "e => e.tagName === 'VIDEO' ? 'video' : (e.innerText || e.ariaLabel).replace(/\\s+/g, ' ').trim()"
    )
    for _ in range(40):
        page.keyboard.press("Tab")
        name = page.evaluate(f"({name_of})(document.activeElement)")
        reached.add(name)
        if name != "video":  # within which the browser shows where the focus is
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", name
    wanted = {
        "This table as LaTeX or CSV",
        "Save the ranks as SVG",
        "As a table",
        "Play these clips",
        "video",
    }
    assert wanted <= reached
    table = page.get_by_text("This table as LaTeX or CSV")
    table.focus()
    page.keyboard.press("Enter")
    expect(page.locator("pre").first).to_contain_text(r"\toprule")


def test_a_figure_is_saved_as_a_drawing_that_stands_alone(page: Page, tmp_path: Path) -> None:
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the ranks as SVG").click()
    drawing = tmp_path / saved.value.suggested_filename
    saved.value.save_as(drawing)
    assert drawing.name == "ranks.svg"
    shown = page.context.new_page()
    shown.goto(drawing.as_uri())
    assert shown.locator("rect.bar").count() >= 8
    fills = shown.locator("rect.bar").evaluate_all("bars => bars.map(b => getComputedStyle(b).fill)")
    assert len(set(fills)) == 2  # filled and hatched
    shown.close()


def test_the_table_is_copied(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_text("This table as LaTeX or CSV").click()
    page.get_by_role("button", name="Copy the CSV").click()
    expect(page.get_by_role("status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith(
        "direction,metric,value,low,high\nt2v,R@1,"
    )


@pytest.mark.parametrize(("name", "width", "scheme"), [("light", 1180, "light"), ("dark", 390, "dark")])
def test_axe_finds_nothing_that_keeps_anyone_out(page: Page, name: str, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 844})
    for opened in LISTS:
        open_list(page, opened)
    found = axe.Axe().run(page)
    assert found.response["violations"] == [], found.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": 390, "height": 844})
    for name in LISTS:
        open_list(page, name)
    page.get_by_text("This table as LaTeX or CSV").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    headline = page.locator(".headline").bounding_box()
    assert headline is not None
    assert headline["x"] + headline["width"] <= 390
    picture(page, f"phone-{scheme}")


def test_printing_opens_what_was_closed(page: Page) -> None:
    assert not page.locator("#best-v2t").evaluate("d => d.open")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#best-v2t").evaluate("d => d.open")
    page.emulate_media(media="print")
    expect(page.get_by_role("navigation")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.locator("#best-v2t").evaluate("d => d.open")
