"""A real Chromium and a real `guardian api` on weeks of evidence: fixtures for tests of the console."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import sync_playwright

from tests.console_server import serving
from tests.console_support import Estate, make_estate
from tests.tools.chromium import ARGUMENTS, chromium

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page


@dataclass(frozen=True)
class Console:
    """A served environment."""

    url: str
    estate: Estate

    def api(self, path: str, token: str | None = None) -> Any:
        """Return what the API says at `path`."""
        headers = {"Authorization": f"Bearer {token or self.estate.token}"}
        answer = requests.get(self.url + path, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def log_in(self, page: Page, token: str | None = None) -> None:
        """Log in as a person does."""
        page.goto(f"{self.url}/console/login")
        page.fill("#token", token or self.estate.token)
        page.click("main button")
        page.wait_for_url(f"{self.url}/console/")


@dataclass
class Watched:
    """What a browser should not do: complaints of its console, errors of scripts, requests to other origins."""

    url: str
    wrong: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> BrowserContext:
        context.on("console", lambda said: self._said(said.type, said.text))
        context.on("weberror", lambda error: self.wrong.append(f"error: {error.error}"))
        context.on("request", lambda request: self._asked(request.url))
        return context

    def _said(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and "status of 40" not in text:
            self.wrong.append(f"{kind}: {text}")

    def _asked(self, url: str) -> None:
        if urlsplit(url).netloc != urlsplit(self.url).netloc:
            self.wrong.append(f"request: {url}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, without anything of its own that calls out."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """The console on 40 days of evidence, in which texts of others try to do harm."""
    estate = make_estate(tmp_path_factory.mktemp("console"))
    with serving(estate.settings.path) as url:
        yield Console(url, estate)


@pytest.fixture
def visit(browser: Browser, console: Console) -> Iterator[Callable[..., Page]]:
    """Open a page as someone who is logged in (token=None: as nobody). Fails if the browser complained of anything."""
    watched, contexts = Watched(console.url), []

    def open_page(path: str = "/console/", *, token: str | None = console.estate.token, **options: Any) -> Page:
        context = watched.watch(browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options)))
        contexts.append(context)
        page = context.new_page()
        if token is not None:
            console.log_in(page, token)
        if token is None or path != "/console/":
            page.goto(console.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert watched.wrong == []
