"""What the tests of the page share: the real service, a Chromium that is watched, small helpers."""

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Browser, Locator, Page, Request, expect  # noqa: E402

from cico_platform.serving.settings import ServiceSettings  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
]
PATIENCE_MS = 90_000
# Small enough for a file to be too large.
PAGE = ServiceSettings(upload_bytes=2 << 20)
# Where to keep pictures of the page, if anywhere.
PICTURES = os.environ.get("CICO_PAGE_PICTURES")


class LiveService:
    """The real service: Ray Serve with both encoders and the API; one at a time, as it owns the index."""

    def __init__(self, index: Path) -> None:
        self.index = index
        self.settings: ServiceSettings | None = None
        self.address = ""

    def serve(self, settings: ServiceSettings) -> str:
        """The address of a service with these settings; it is started again for others."""
        if self.settings != settings:
            self.stop()
            self.address = _start(self.index, settings)
            self.settings = settings
        return self.address

    def stop(self) -> None:
        """Let go of the index."""
        from cico_platform.serving.app import stop_serving

        if self.settings is not None:
            self.settings = None
            stop_serving()


def _start(index: Path, settings: ServiceSettings) -> str:
    from cico_platform.serving.app import serve_index, stop_serving

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = serve_index(index, port=port, blocking=False, settings=settings)
    deadline = time.monotonic() + 240
    try:
        while httpx.get(f"{address}/readyz", timeout=60).status_code != 200:
            assert time.monotonic() < deadline, "the service did not get ready"
            time.sleep(0.2)
    except BaseException:
        stop_serving()
        raise
    return address


@contextmanager
def watched(browser: Browser, address: str) -> Iterator[Page]:
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
    elsewhere = [url for url in asked if not url.startswith((f"{address}/", "blob:", "data:"))]
    assert elsewhere == []
    assert wrong == []


def ask(page: Page, text: str) -> None:
    page.get_by_role("searchbox").fill(text)
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator(".card:not(.skeleton)").first).to_be_visible(timeout=PATIENCE_MS)


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the focus is on an element like this."""
    for _ in range(24):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


def details(page: Page, number: int = 0) -> Locator:
    """A card with its details shown."""
    card = page.locator(".card").nth(number)
    if card.locator(".more-of-it").get_attribute("aria-expanded") == "false":
        card.locator(".more-of-it").click()
    expect(card.locator(".details")).to_be_visible()
    return card


def until(page: Page, script: str, argument: object = None, selector: str = ".card video") -> None:
    """Wait until a function of the first such video is true (the page's policy forbids the usual way)."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not page.locator(selector).first.evaluate(script, argument):
        assert time.monotonic() < deadline, f"never true: {script}"
        page.wait_for_timeout(100)


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


def keeps_nobody_out(page: Page) -> None:
    """Axe finds nothing wrong with what is shown."""
    axe: Any = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    found = axe.Axe().run(page)
    assert found.response["violations"] == [], found.generate_report()
