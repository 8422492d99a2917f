"""Kernels are compiled before anything is connected, and only where they are not on disk."""

from __future__ import annotations

import pytest

from tastytrade_provider import warm


def test_the_kernels_are_compiled_before_anything_is_connected_and_only_where_they_are_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []
    monkeypatch.setattr(warm, "warm", lambda: done.append("warm"))
    for is_cold in (False, True):
        monkeypatch.setattr(warm, "is_cold", lambda is_cold=is_cold: is_cold)
        warm.warm_up()
    assert done == ["warm"]
    assert capsys.readouterr().err == "note: compiling the kernels, once on this machine: about half a minute ...\n"


def test_what_is_looked_for_on_disk_is_what_a_first_run_compiles() -> None:
    warm.warm()
    assert [kernel.py_func.__name__ for kernel in warm.kernels() if not kernel.signatures] == []
    assert not warm.is_cold()
