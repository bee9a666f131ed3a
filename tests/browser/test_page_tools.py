"""What people do with results: filter, mark a part, record, trim, compare, judge; by keyboard too."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drawn_index import DrawnIndex
from live_page import PATIENCE_MS, ask, details, keeps_nobody_out, picture, tab_to, until
from playwright.sync_api import Page, Route, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

LAPTOP = {"width": 1366, "height": 768}
SEEN = """cards => cards.filter(card => {
    const box = card.getBoundingClientRect();
    return box.top >= 0 && box.bottom <= innerHeight;
}).length"""
STORED = """async () => {
    const elsewhere = await Promise.all([caches.keys(), indexedDB.databases()]);
    return [localStorage.length, sessionStorage.length, ...elsewhere.map(found => found.length)];
}"""
PLAYS = """url => new Promise(resolve => {
    const video = document.createElement("video");
    video.onloadedmetadata = () => resolve(true);
    video.onerror = () => resolve(false);
    video.src = url;
})"""


# What forms are filled with, but for files: those are named.
HEARD = """() => {
    window.heard = {};
    const append = FormData.prototype.append;
    FormData.prototype.append = function (name, value, ...more) {
        window.heard[name] = value instanceof Blob ? value.name : String(value);
        return append.call(this, name, value, ...more);
    };
}"""


def cards(page: Page) -> list[str]:
    expect(page.locator(".card:not(.skeleton)").first).to_be_visible(timeout=PATIENCE_MS)
    return list(page.locator(".card").evaluate_all("cards => cards.map(card => card.dataset.clip)"))


def sent(page: Page, path: str, act: Any) -> Any:
    """The body of the request that an action makes, and its answer."""
    with page.expect_response(f"**/v1/{path}", timeout=PATIENCE_MS) as answered:
        act()
    return answered.value.request.post_data_json, answered.value.json()


def test_six_to_eight_results_are_seen_on_a_laptop_and_no_video_is_read_before_it_is_seen(
    page: Page, drawn: DrawnIndex
) -> None:
    page.set_viewport_size(LAPTOP)
    ask(page, drawn.sentences[8])
    expect(page.locator(".card")).to_have_count(12)
    until(page, "v => v.currentTime > 0.2")
    assert 6 <= page.locator(".card").evaluate_all(SEEN) <= 8
    assert page.locator(".card video[src]").count() < 12
    picture(page, "laptop")
    page.locator(".card video").last.scroll_into_view_if_needed()
    expect(page.locator(".card video").last).to_have_attribute("src", re.compile("media$"))


def test_filters_come_from_the_service_and_stay_in_the_address(
    page: Page, drawn: DrawnIndex, address: str
) -> None:
    ask(page, drawn.sentences[1])
    before = page.url
    page.locator("#filters summary").click()
    signer = page.get_by_label("Signer", exact=True)
    expect(signer.locator("option")).to_have_text(["Any", "A (7)", "B (7)"], timeout=PATIENCE_MS)
    body, found = sent(page, "search", lambda: signer.select_option("A"))
    assert body["filters"] == {"signer": "A"}
    assert {one["signer"] for one in found["results"]} == {"A"}
    expect(page.locator(".card")).to_have_count(7)
    assert page.url.endswith("&signer=A")
    longest = page.get_by_label("At most, seconds")
    longest.fill("0.01")
    sent(page, "search", lambda: longest.press("Enter"))
    expect(page.get_by_text("or fewer filters")).to_be_visible()
    sent(page, "search", page.get_by_role("button", name="Remove the filter at most 0.01 s").click)
    expect(page.locator(".card")).to_have_count(7)
    shared = page.url
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator(".card")).to_have_count(12)
    assert page.url == before
    page.go_back()
    expect(page.locator(".card")).to_have_count(7, timeout=PATIENCE_MS)
    page.goto("about:blank")
    page.goto(shared)
    expect(page.locator(".card")).to_have_count(7, timeout=PATIENCE_MS)
    expect(page.get_by_role("button", name="Remove the filter Signer: A")).to_be_visible()
    expect(page.get_by_role("searchbox")).to_have_value(drawn.sentences[1])


def test_a_part_that_is_marked_by_keyboard_is_searched_with(page: Page, drawn: DrawnIndex) -> None:
    ask(page, drawn.sentences[7])
    until(page, "v => v.readyState >= 2")
    tab_to(page, ".more-of-it")
    page.keyboard.press("Enter")
    card = page.locator(".card").first
    tab_to(page, ".part input")
    page.keyboard.press("Control+a")
    page.keyboard.type("0.4")
    tab_to(page, ".mark-end")
    until(page, "v => v.currentTime > 1.2")
    page.keyboard.press("Enter")
    end = float(card.locator(".part input").nth(1).input_value())
    assert 1.0 < end < 3
    until(page, "(v, end) => v.currentTime >= 0.3 && v.currentTime <= end + 0.3", end)
    expect(card.locator(".marked")).to_be_visible()
    tab_to(page, ".part [value=sentences]")
    body, found = sent(page, "search/clip", lambda: page.keyboard.press("Enter"))
    assert (body["video_id"], body["start"], body["end"], body["find"]) == ("clip-7", 0.4, end, "sentences")
    assert cards(page)[0] == found["results"][0]["video_id"]
    expect(page.locator("#asked-name")).to_have_text(f"clip-7, 0.4–{end:.1f} s")
    until(page, "v => v.currentTime >= 0.3", None, "#asked-video")
    picture(page, "part")
    page.reload()
    assert cards(page)[0] == found["results"][0]["video_id"]
    page.go_back()
    assert cards(page)[0] == "clip-7"
    card = details(page)
    card.locator(".part input").nth(0).fill("1")
    card.locator(".part input").nth(1).fill("0.5")
    expect(card.get_by_text("ends before it starts")).to_be_visible()
    card.locator(".part input").nth(0).fill("0")
    card.locator(".part input").nth(1).fill("0.05")
    card.get_by_role("button", name="Find its sentence").click()
    expect(page.get_by_role("alert")).to_contain_text("mark a longer part", timeout=PATIENCE_MS)


def test_clips_that_look_like_a_clip_are_others(page: Page, drawn: DrawnIndex) -> None:
    ask(page, drawn.sentences[2])
    card = details(page)
    body, _ = sent(page, "search/clip", card.get_by_role("button", name="Find clips like it").click)
    assert (body["start"], body["end"], body["find"]) == (None, None, "clips")
    assert "clip-2" not in cards(page)
    expect(page.locator("#summary")).to_contain_text("look like it")


def test_a_video_is_trimmed_before_it_is_searched_with_again(page: Page, drawn: DrawnIndex) -> None:
    page.locator("#file").set_input_files(drawn.videos[2])
    cards(page)
    start = page.locator("#asked-trim .trim-start")
    expect(start).to_be_visible(timeout=PATIENCE_MS)
    page.evaluate(HEARD)
    start.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    until(page, "v => v.currentTime >= 0.45", None, "#asked-video")
    with page.expect_response("**/v1/search/video", timeout=PATIENCE_MS) as answered:
        page.get_by_role("button", name="Search this part").click()
    assert answered.value.status == 200, answered.value.text()
    assert page.evaluate("heard.start") == "0.5"
    assert float(page.evaluate("heard.end")) > 1
    expect(page.locator("#asked-name")).to_contain_text("0.5–")
    assert cards(page)


def test_a_recording_is_looked_at_trimmed_taken_again_searched_with_and_never_stored(
    page: Page, address: str
) -> None:
    page.context.grant_permissions(["camera"], origin=address)
    page.evaluate(HEARD)
    video = page.locator("#camera-video")
    page.get_by_role("button", name="Record yourself").click()
    page.get_by_role("button", name="Record", exact=True).click(timeout=PATIENCE_MS)
    expect(page.locator("#camera-count")).to_have_text("3")
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_focused(timeout=PATIENCE_MS)
    page.wait_for_timeout(1200)
    page.keyboard.press("Enter")
    use = page.get_by_role("button", name="Search with it")
    expect(use).to_be_focused(timeout=PATIENCE_MS)
    first = video.evaluate("v => v.src")
    assert first.startswith("blob:")
    assert page.evaluate(PLAYS, first)
    until(page, "v => v.currentTime > 0.1", None, "#camera-video")
    picture(page, "camera")
    page.get_by_role("button", name="Take it again").click()
    page.get_by_role("button", name="Record", exact=True).click(timeout=PATIENCE_MS)
    assert not page.evaluate(PLAYS, first)
    expect(stop).to_be_focused(timeout=PATIENCE_MS)
    page.wait_for_timeout(2500)
    page.keyboard.press("Enter")
    expect(use).to_be_focused(timeout=PATIENCE_MS)
    second = video.evaluate("v => v.src")
    page.locator("#camera-trim .trim-start").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    with page.expect_response("**/v1/search/video", timeout=PATIENCE_MS) as answered:
        use.click()
    assert answered.value.status == 200, answered.value.text()
    assert page.evaluate("heard.start") == "0.2"
    assert page.evaluate("heard.file").startswith("recording.")
    assert cards(page)
    assert not page.evaluate(PLAYS, second)
    assert video.evaluate("v => !v.srcObject && !v.src")
    asked = page.locator("#asked-video").evaluate("v => v.src")
    ask(page, "dog")
    assert not page.evaluate(PLAYS, asked)
    assert page.evaluate(STORED) == [0, 0, 0, 0]


def test_a_camera_that_is_not_allowed_or_not_wanted_is_let_go_of(page: Page, address: str) -> None:
    page.context.grant_permissions(["geolocation"], origin=address)  # and nothing else
    page.get_by_role("button", name="Record yourself").click()
    expect(page.locator("#camera-said")).to_contain_text("not allowed", timeout=PATIENCE_MS)
    page.context.grant_permissions(["camera"], origin=address)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("button", name="Record", exact=True)).to_be_focused(timeout=PATIENCE_MS)
    track = page.evaluate_handle("document.getElementById('camera-video').srcObject.getTracks()[0]")
    page.keyboard.press("Escape")
    expect(page.locator("#camera")).to_be_hidden()
    assert track.evaluate("track => track.readyState") == "ended"
    expect(page.get_by_role("button", name="Record yourself")).to_be_focused()


def test_two_results_play_side_by_side_in_step(page: Page, drawn: DrawnIndex) -> None:
    with page.expect_response("**/v1/search") as answered:
        ask(page, drawn.sentences[0])
    begins = [one["start"] for one in answered.value.json()["results"][:2]]
    right_video = "#compare figure:nth-child(2) video"
    until(page, "v => v.readyState >= 2")
    words = page.locator(".card").nth(1)
    assert words.locator(".span").count() > 2
    page.get_by_role("button", name="Compare result 1", exact=True).press("Enter")
    expect(page.locator("#chosen-said")).to_contain_text("Choose another")
    page.get_by_role("button", name="Compare result 2", exact=True).press("Enter")
    page.get_by_role("button", name="Compare", exact=True).press("Enter")
    play = page.locator("#compare-play")
    until(page, "v => v.currentTime > 0.4", None, "#compare video")
    apart = """() => {
        const [a, b] = document.querySelectorAll("#compare video");
        return [a.currentTime, b.currentTime, a.paused, b.paused];
    }"""
    page.get_by_label("Word by word").uncheck()
    page.locator("#compare-speed").select_option("0.5")
    page.wait_for_timeout(600)
    left, right, *paused = page.evaluate(apart)
    assert paused == [False, False]
    assert abs((left - begins[0]) - (right - begins[1])) < 0.2
    assert page.locator("#compare video").first.evaluate("v => v.playbackRate") == 0.5
    play.focus()
    page.keyboard.press("Space")
    expect(play).to_have_text("Play")
    assert page.evaluate(apart)[2:] == [True, True]
    page.locator("#compare-time").fill("0.6")
    until(page, "(v, t) => Math.abs(v.currentTime - t) < 0.02", begins[0] + 0.6, "#compare video")
    page.get_by_role("button", name="One frame on").press("Enter")
    until(page, "(v, t) => Math.abs(v.currentTime - t) < 0.02", begins[0] + 0.64, "#compare video")
    until(page, "(v, t) => Math.abs(v.currentTime - t) < 0.02", begins[1] + 0.64, right_video)
    picture(page, "compare")
    page.get_by_label("Word by word").check()
    word = page.locator("#compare-list .word").nth(1)
    said = re.compile(f"^{re.escape(word.inner_text())}$")
    word.click()
    for number, selector in enumerate(("#compare video", right_video)):
        signed = page.locator(".card").nth(number).locator(".word").filter(has_text=said).first
        at = begins[number] + float(signed.get_attribute("data-start") or "nan")
        until(page, "(v, t) => Math.abs(v.currentTime - t) < 0.05", at, selector)
    page.keyboard.press("Escape")
    expect(page.locator("#compare")).to_be_hidden()
    expect(page.locator("#compare video[src]")).to_have_count(0)
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.locator("#chosen")).to_be_hidden()


@pytest.fixture
def repeated(page: Page) -> Iterator[Page]:
    """The real answers, but the second and the fourth result say what the first one says."""

    def change(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        results = body["results"]
        if body["page"] == 1 and len(results) > 4:
            results[1]["text"] = f"  {results[0]['text'].upper()}!"
            results[3] |= {"text": results[0]["text"], "signer": "C"}
        route.fulfill(response=answer, json=body)

    page.route("**/v1/search", change)
    yield page
    page.unroute("**/v1/search")


def test_clips_of_one_sentence_by_several_signers_are_one_card(repeated: Page, drawn: DrawnIndex) -> None:
    page = repeated
    ask(page, drawn.sentences[3])
    expect(page.locator(".card")).to_have_count(10)
    expect(page.locator("#summary")).to_contain_text("12 clips")
    expect(page.locator("#summary")).to_contain_text("in 10 sentences")
    card = page.locator(".card").first
    badge = card.locator(".badge")
    expect(badge).to_have_text(re.compile("^[23] signers$"))
    badge.press("Enter")
    others = card.locator(".others button")
    expect(others).to_have_count(3)
    expect(others.first).to_be_focused()
    expect(others.first).to_have_attribute("aria-pressed", "true")
    picture(page, "signers")
    others.nth(2).press("Enter")
    expect(card).not_to_have_attribute("data-clip", "clip-3")
    expect(others.nth(2)).to_be_focused()
    expect(others.nth(2)).to_have_text(re.compile("signer C"))
    until(page, "v => v.currentTime > 0.1")
    expect(page.locator(".card")).to_have_count(10)


def test_a_judgement_is_kept_and_shown(page: Page, drawn: DrawnIndex, feedback: Path) -> None:
    def lines() -> list[dict[str, Any]]:
        files = sorted(feedback.glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    before = len(lines())
    ask(page, drawn.sentences[5])
    for number, verdict in ((0, "Right"), (1, "Wrong")):
        card = details(page, number)
        button = card.get_by_role("button", name=verdict, exact=True)
        button.press("Enter")
        expect(card.locator(".judge .said")).to_contain_text(
            f"Kept as {verdict.lower()}", timeout=PATIENCE_MS
        )
        expect(button).to_have_attribute("aria-pressed", "true")
    first, second = lines()[before:]
    assert (first["query"], first["video_id"], first["rank"]) == (drawn.sentences[5], "clip-5", 1)
    assert (second["verdict"], second["rank"]) == ("wrong", 2)
    assert first["search"] == second["search"]
    page.route("**/v1/feedback", lambda route: route.abort())
    details(page, 2).get_by_role("button", name="Right", exact=True).click()
    said = page.locator(".card").nth(2).locator(".judge .said")
    expect(said).to_contain_text("doesn't answer")
    expect(page.locator(".card").nth(2).get_by_role("button", name="Right", exact=True)).to_have_attribute(
        "aria-pressed", "false"
    )


@pytest.mark.parametrize(("scheme", "width"), [("light", 1366), ("dark", 390)])
def test_axe_finds_nothing_wrong_with_any_of_it(
    page: Page, drawn: DrawnIndex, address: str, scheme: str, width: int
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 844})
    page.context.grant_permissions(["camera"], origin=address)

    def looks(name: str) -> None:
        keeps_nobody_out(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        picture(page, f"{name}-{scheme}-{width}")

    ask(page, drawn.sentences[0])
    details(page).locator(".part input").first.fill("0.5")
    page.locator("#filters summary").click()
    page.get_by_label("Signer", exact=True).select_option("A")
    expect(page.locator(".card")).to_have_count(7, timeout=PATIENCE_MS)
    details(page)
    page.get_by_role("button", name="Compare result 1", exact=True).click()
    page.get_by_role("button", name="Compare result 2", exact=True).click()
    looks("tools")
    page.get_by_role("button", name="Compare", exact=True).click()
    until(page, "v => v.currentTime > 0.2", None, "#compare video")
    looks("compare")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Record yourself").click()
    page.get_by_role("button", name="Record", exact=True).click(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Stop").click(timeout=PATIENCE_MS)
    expect(page.get_by_role("button", name="Search with it")).to_be_focused(timeout=PATIENCE_MS)
    looks("camera")
