"""One index and one service for all tests of the page, a Chromium for each module."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_index import DrawnIndex, build_drawn_index
from live_page import CHROMIUM, FLAGS, PAGE, LiveService, watched

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402


@pytest.fixture(scope="package")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DrawnIndex:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    return build_drawn_index(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="package")
def service(ray_cluster: None, drawn: DrawnIndex) -> Iterator[LiveService]:
    """The service on that index; modules whose settings are the same share it."""
    live = LiveService(drawn.index)
    yield live
    live.stop()


@pytest.fixture(scope="module")
def address(service: LiveService, feedback: Path) -> str:
    """The address of the service."""
    return service.serve(PAGE.model_copy(update={"feedback": str(feedback)}))


@pytest.fixture(scope="package")
def feedback(drawn: DrawnIndex) -> Path:
    """The folder that judgements are written into."""
    return drawn.index.parent / "feedback"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One a module: while Playwright runs, no other test of this process can run an event loop."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with watched(browser, address) as page:
        yield page
