"""A service on a port, and a page of it in headless Chromium. Skips, with the reason, where no browser is."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tastytrade_provider.service import Runtime, create_app
from tests.checks.sources import LIMIT_S, until

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def chromium() -> str:
    """Path of the browser: CHROMIUM, or the first found. Skips the test where there is none."""
    pytest.importorskip("playwright", reason="playwright is not installed")
    found = os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here: install the package chromium, or name one in CHROMIUM")
    return found


@asynccontextmanager
async def served(runtime: Runtime, port: int = 0) -> AsyncIterator[str]:
    """The ready app of a runtime on 127.0.0.1; its address."""
    config = uvicorn.Config(create_app(runtime=runtime), port=port, log_level="warning", ws="wsproto", timeout_graceful_shutdown=1, lifespan="on")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started or task.done(), "the server did not come up")
        assert server.started
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        await runtime.hub.close("the service stops")
        server.should_exit = True
        await task


class Opened:
    """A page, and everything it complained of."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.complaints.append(f"{error}"))
        page.on("response", lambda answer: self.complaints.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
        page.on("request", lambda request: None if request.url.startswith(("http://127.0.0.1:", "data:")) else self.complaints.append(request.url))

    async def ask(self, expression: str) -> Any:
        """A JavaScript expression, evaluated in the page."""
        return await self.page.evaluate(f"() => {expression}")

    async def shows(self, expression: str) -> Any:
        """Wait until an expression is truthy; its value. (Playwright's own way evaluates text in the page, which its security policy forbids.)"""
        ends_s = time.monotonic() + LIMIT_S
        while not (value := await self.ask(f"window.orderflow ? ({expression}) : null")):
            if time.monotonic() > ends_s:
                raise AssertionError(f"{expression} did not come to be: {await self.ask('orderflow.state')}, {self.complaints}")
            await self.page.wait_for_timeout(20)
        return value

    async def frame(self) -> None:
        """Wait until what was said so far is drawn."""
        await self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done))))")

    async def keep(self, name: str) -> None:
        """A screenshot, where TTP_SCREENSHOTS names a folder for them."""
        if folder := os.environ.get("TTP_SCREENSHOTS"):
            await self.frame()
            await self.page.screenshot(path=Path(folder, f"{name}.png"))  # makes the folder where it is missing


@asynccontextmanager
async def launched() -> AsyncIterator[Any]:
    """Chromium, without a window."""
    path = chromium()
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0  # for whom Chromium's sandbox does not start
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if is_root else [])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def opened(
    browser: Any, url: str, *, size: tuple[int, int] = (1280, 800), scheme: str = "light", forgiven: tuple[str, ...] = ()
) -> AsyncIterator[Opened]:
    """A page at an address. Whatever it complains of fails the test at the end, unless one of the texts `forgiven` is in it."""
    context = await browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    try:
        page = await context.new_page()
        page.set_default_timeout(LIMIT_S * 1000)
        found = Opened(page)
        await page.goto(url)
        yield found
        complaints = [each for each in found.complaints if not any(text in each for text in forgiven)]
        assert not complaints, complaints
    finally:
        await context.close()
