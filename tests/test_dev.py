"""dev.py decides what to run and install; nothing here makes an environment or asks a network."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def dev() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "setup.cfg").write_text("[options]\ninstall_requires =\n    numpy\n")
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    return tmp_path


def test_python_3_8_can_read_the_file() -> None:
    ast.parse((ROOT / "dev.py").read_text(encoding="utf-8"), feature_version=(3, 8))


def test_it_imports_nothing_but_the_standard_library() -> None:
    tree = ast.parse((ROOT / "dev.py").read_text(encoding="utf-8"))
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named = {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in plain | named} <= set(sys.stdlib_module_names)


def test_the_running_python_is_found_and_said_to_be_what_it_is(dev: ModuleType) -> None:
    assert dev.probe([sys.executable]).version == sys.version_info[:2]


def test_a_shim_without_a_python_behind_it_is_none(dev: ModuleType, tmp_path: Path) -> None:
    assert dev.probe([str(tmp_path / "python3.99")]) is None
    assert dev.probe([sys.executable, "-c", "raise SystemExit(127)"]) is None


def offer(dev: ModuleType, monkeypatch: pytest.MonkeyPatch, *offers: tuple[str, tuple[int, int], bool] | None) -> list[tuple[str]]:
    """Let these be the Pythons of the machine, in this order; None is one that does not run."""
    answers = {(f"python-{at}",): offered and dev.Interpreter((offered[0],), *offered[1:]) for at, offered in enumerate(offers)}
    monkeypatch.setattr(dev, "probe", lambda command: answers[tuple(command)])
    return list(answers)


def test_the_first_python_new_enough_that_can_make_environments_is_taken(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = offer(dev, monkeypatch, ("old", (3, 8), True), None, ("bare", (3, 13), False), ("good", (3, 12), True), ("late", (3, 11), True))
    assert dev.find_python(commands).command == ("good",)


def test_a_missing_ensurepip_names_the_debian_package_of_that_version(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = offer(dev, monkeypatch, ("/usr/bin/python3", (3, 11), False))
    with pytest.raises(dev.Stop, match=r"ensurepip is missing.*sudo apt install python3\.11-venv"):
        dev.find_python(commands)


def test_no_python_new_enough_says_which_is_needed_and_how_to_get_it(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = offer(dev, monkeypatch, ("old", (3, 10), True), None)
    with pytest.raises(dev.Stop, match=r"needs Python 3\.11 or newer.*winget install.*uv"):
        dev.find_python(commands)


@pytest.mark.parametrize("name", ["setup.cfg", "pyproject.toml"])
def test_the_fingerprint_changes_with_the_files_that_name_dependencies(dev: ModuleType, checkout: Path, name: str) -> None:
    before = dev.fingerprint(checkout)
    assert dev.fingerprint(checkout) == before
    with (checkout / name).open("a") as file:
        file.write("# one more line\n")
    assert dev.fingerprint(checkout) != before


def test_the_fingerprint_changes_when_the_checkout_moves(dev: ModuleType, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("setup.cfg", "pyproject.toml"):
        (elsewhere / name).write_bytes((checkout / name).read_bytes())
    assert dev.fingerprint(elsewhere) != dev.fingerprint(checkout)


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"fingerprint": "f"}'])
def test_a_stamp_that_is_absent_or_damaged_means_nothing_is_installed(dev: ModuleType, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "stamp.json"
    if text is not None:
        path.write_text(text)
    assert dev.read_stamp(path) == ("", [])


@pytest.mark.parametrize(
    ("wanted", "installed", "now", "todo"),
    [
        (["dev"], ["dev"], "same", []),
        (["service"], ["dev", "service"], "same", []),
        (["dev"], ["service"], "same", ["dev", "service"]),
        (["dev"], ["bench", "dev"], "changed", ["bench", "dev"]),
        (["service"], [], "changed", ["service"]),
    ],
)
def test_installing_adds_to_what_is_there_and_repeats_all_of_it_after_a_change(
    dev: ModuleType, wanted: list[str], installed: list[str], now: str, todo: list[str]
) -> None:
    assert dev.extras_to_install(wanted, ("same", installed), now) == todo


def test_an_unknown_verb_lists_the_verbs_and_exits_with_2(dev: ModuleType) -> None:
    with pytest.raises(dev.Stop, match=r"'tset' is not a verb; verbs: demo, test, lint, bench, chaos, soak, test-adapters") as caught:
        dev.main(["tset"])
    assert caught.value.code == 2


@pytest.mark.parametrize("verb", ["demo", "bench", "chaos", "soak", "test-adapters"])
def test_a_verb_whose_tool_is_absent_says_so_before_installing_anything(dev: ModuleType, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    with pytest.raises(dev.Stop, match="nothing to run yet") as caught:
        dev.main([verb])
    assert caught.value.code == 2


def test_further_arguments_and_the_exit_code_pass_through(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def become(command: list[str]) -> None:
        seen.append(command)
        raise SystemExit(5)

    monkeypatch.setattr(dev, "prepare", lambda extras: None)
    monkeypatch.setattr(dev, "become", become)
    with pytest.raises(SystemExit) as caught:
        dev.main(["test", "-k", "session open"])
    assert caught.value.code == 5
    assert seen[0][-2:] == ["-k", "session open"]


def test_lint_runs_every_tool_and_keeps_the_first_failure(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = iter([0, 3, 1, 0])
    monkeypatch.setattr(dev, "prepare", lambda extras: None)
    monkeypatch.setattr(dev, "run", lambda command: next(codes))
    assert dev.main(["lint"]) == 3
    assert list(codes) == []


def test_a_command_killed_by_a_signal_exits_as_a_shell_would_say_it(dev: ModuleType) -> None:
    assert dev.run([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"]) == 128 + 15


def test_a_failing_step_shows_the_tools_own_words(dev: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(dev.Stop, match=r"installing failed \(exit code 1\)"):
        dev.quietly("installing", [sys.executable, "-c", "import sys; print('no such package'); sys.exit(1)"])
    assert "no such package" in capfd.readouterr().err
