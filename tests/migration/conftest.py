"""What tests of the guide share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the configuration that the guide shows for the first route."""
    from tests.migration.pairs import of_section  # needs the extra [ib]

    (tmp_path / "config.yaml").write_text(of_section("route-1-flip-the-config", "yaml")[0].code)
    monkeypatch.chdir(tmp_path)
    return tmp_path
