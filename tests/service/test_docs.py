"""The program in docs/service.md, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.service.stage import client, fetched

PAGE = (Path(__file__).parents[2] / "docs" / "service.md").read_text("utf-8")


async def test_the_program_of_the_page_makes_an_application_with_the_feed_as_a_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [program] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "config.yaml").write_text("data_provider: demo\nsymbols: [ES]\n")
    monkeypatch.chdir(tmp_path)
    registry = CollectorRegistry()
    monkeypatch.setattr(prometheus_client, "REGISTRY", registry)  # that of the process would hold on to what the program makes
    made: dict[str, Any] = {}
    exec(program, made)
    async with made["app"].router.lifespan_context(made["app"]), client(made["app"]) as http:
        told = await fetched(lambda: http.get("/api/tastytrade/status"))
    assert told["state"] != "stopped"
    assert b"tastytrade_provider_feed_ready" in generate_latest(registry)
    assert made["runtime"].state == "stopped"
