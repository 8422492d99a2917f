from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tastytrade_provider.service import create_app
from tastytrade_provider.service.security import HEADERS
from tests.service.stage import client, running

STATIC = Path(__file__).parents[2] / "tastytrade_provider/service/static"
VENDOR = STATIC / "vendor"
OWN = sorted(path for path in STATIC.iterdir() if path.is_file())
ALLOWED = ("https://www.tradingview.com/", "http://www.w3.org/2000/svg")  # the attribution, and the name of a format


def manifest() -> list[dict[str, Any]]:
    """What is vendored."""
    packages: list[dict[str, Any]] = json.loads((VENDOR / "manifest.json").read_text())["packages"]
    return packages


def test_every_vendored_file_is_the_one_in_the_manifest_and_no_other_lies_there() -> None:
    told = {file["name"]: file["sha256"] for package in manifest() for file in package["files"]}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir() if path.name != "manifest.json"}
    assert found == told


@pytest.mark.parametrize("package", manifest(), ids=lambda package: package["name"])
def test_a_vendored_package_brings_its_licence_its_notice_its_version_and_where_it_is_from(package: dict[str, Any]) -> None:
    names = [file["name"] for file in package["files"]]
    assert f"{package['name']}.LICENSE" in names
    assert "www.tradingview.com" in (VENDOR / f"{package['name']}.NOTICE").read_text()
    [code] = [name for name in names if name.endswith(".mjs")]
    assert f"v{package['version']}" in (VENDOR / code).read_text()[:200]
    assert package["source"]


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_no_asset_names_another_host_but_for_the_attribution(path: Path) -> None:
    urls = re.findall(r"(?:https?:|wss?:)?//[a-z0-9][\w.-]*\.[a-z]{2,}[^\s\"'`<>)]*", path.read_text(encoding="utf-8"))
    assert [url for url in urls if not url.startswith(ALLOWED)] == []


def test_the_page_has_no_script_and_no_style_of_its_own_in_it() -> None:
    page = (STATIC / "index.html").read_text()
    assert re.findall(r"<script(?![^>]* src=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", page) == []


def test_every_file_the_page_and_its_modules_name_is_there() -> None:
    named = set(re.findall(r'(?:href|src)="([^":#]+)"', (STATIC / "index.html").read_text()))
    for module in STATIC.glob("*.js"):
        named |= set(re.findall(r'from "\./([^"]+)"', module.read_text()))
    assert {name for name in named if not (STATIC / name).is_file()} == set()
    assert "app.js" in named


async def test_the_page_and_its_parts_are_served_under_the_security_policy_as_what_they_are() -> None:
    async with running(symbols=("ES",)) as (live, _, _), client(create_app(runtime=live)) as web:
        for path, kind in (("/", "text/html"), ("/app.js", "text/javascript"), ("/style.css", "text/css"), ("/icon.svg", "image/svg+xml"),
                           (f"/vendor/{next(VENDOR.glob('*.mjs')).name}", "text/javascript")):  # fmt: skip
            answer = await web.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith(kind)
            assert answer.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "script-src" not in policy
    assert "unsafe-eval" not in policy
