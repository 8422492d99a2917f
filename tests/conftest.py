"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import httpcore2
import pytest
from hypothesis import settings

# The first call of a kernel compiles it, so time says nothing about an example. A failure prints how to repeat it.
settings.register_profile("project", deadline=None, print_blob=True)
settings.load_profile("project")


@pytest.fixture(scope="session")
def tapes() -> Path:
    """The folder of real tapes that TTP_TAPES names; without it the test is skipped, and a wrong path is an error."""
    named = os.environ.get("TTP_TAPES")
    if not named:
        pytest.skip("TTP_TAPES is not set: no folder of real tapes to read")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"TTP_TAPES={named!r} is not a folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_read_once() -> Iterator[None]:
    """Every login reads all certificates of the machine, 30 ms each time, and no exchange here is asked for one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpcore2, "default_ssl_context", cache(httpcore2.default_ssl_context))
        yield
