"""One index, and one Chromium a module, for all tests of the page."""

from collections.abc import Iterator
from typing import Any

import pytest
from drawn_index import DrawnIndex, build_drawn_index
from live_page import CHROMIUM, FLAGS, serving, watched

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from cico_platform.serving.settings import ServiceSettings  # noqa: E402


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DrawnIndex:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    return build_drawn_index(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def address(request: Any, drawn: DrawnIndex) -> Iterator[str]:
    """The address of the service, with the module's own SERVICE settings if it has some."""
    with serving(drawn.index, getattr(request.module, "SERVICE", ServiceSettings())) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with watched(browser, address) as page:
        yield page
