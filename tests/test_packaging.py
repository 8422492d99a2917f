"""The wheel: everything setup.cfg says reaches the metadata, and it gets along with a user's own folders."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ["setup.cfg", "pyproject.toml", "README.md", "LICENSE", "tastytrade_provider", "indicators", "migration"]
DECOYS = ["tests/test_x.py", "tests/__init__.py", "indicators_old/rsi.py", "docs/conf.py"]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


def lines(text: str) -> list[str]:
    """A setup.cfg list: one entry a line, without blanks and comments."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def exact(requirement: str) -> tuple[str, frozenset[str], str]:
    """(name, extras, versions), so that spelling does not matter. Markers are compared by who asks."""
    parsed = Requirement(requirement)
    return parsed.name.lower().replace("_", "-"), frozenset(parsed.extras), str(parsed.specifier)


@pytest.fixture(scope="module")
def config() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the checkout, built offline in a copy beside folders that must stay out of it."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    for name in DECOYS:
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text("")
    done = subprocess.run([sys.executable, "-c", BUILD, str(out)], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def files(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def read(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (file for file in archive.namelist() if file.endswith(f".dist-info/{name}"))
        return archive.read(path).decode()


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    return Parser().parsestr(read(wheel, "METADATA"))


def test_every_plain_field_of_setup_cfg_is_in_the_metadata(config: configparser.ConfigParser, metadata: Message) -> None:
    declared = config["metadata"]
    assert metadata["Name"] == declared["name"]
    assert metadata["Summary"] == declared["description"]
    assert metadata["Description-Content-Type"] == declared["long_description_content_type"]
    assert metadata["Keywords"].split(",") == [word.strip() for word in declared["keywords"].split(",")]
    assert sorted(metadata.get_all("Classifier", [])) == sorted(lines(declared["classifiers"]))
    assert str(metadata.get_payload()).strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()


def test_the_version_is_the_packages_own(metadata: Message) -> None:
    assert f'__version__ = "{metadata["Version"]}"' in (ROOT / "tastytrade_provider/__init__.py").read_text(encoding="utf-8")


def test_the_licence_is_mit_by_expression_and_its_text_comes_along(metadata: Message, files: list[str]) -> None:
    assert metadata["License-Expression"] == "MIT"
    assert any(file.endswith(".dist-info/licenses/LICENSE") for file in files)
    assert metadata["Requires-Python"] == ">=3.11"


def test_every_dependency_is_in_the_metadata(config: configparser.ConfigParser, metadata: Message) -> None:
    built = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {exact(line) for line in built} == {exact(line) for line in lines(config["options"]["install_requires"])}


def test_every_extra_asks_for_what_setup_cfg_says(config: configparser.ConfigParser, metadata: Message) -> None:
    built: dict[str, set[object]] = {extra: set() for extra in metadata.get_all("Provides-Extra", [])}
    for requirement in map(Requirement, metadata.get_all("Requires-Dist", [])):
        for extra, asked in built.items():
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}) and requirement.marker.evaluate({"extra": extra}):
                asked.add(exact(str(requirement)))
    assert built == {extra: {exact(line) for line in lines(text)} for extra, text in config["options.extras_require"].items()}


def test_every_entry_point_is_in_the_metadata_and_the_plugin_groups_are_left_to_others(config: configparser.ConfigParser, wheel: Path) -> None:
    built = configparser.ConfigParser()
    built.optionxform = str  # type: ignore[assignment, method-assign]
    built.read_string(read(wheel, "entry_points.txt"))
    declared = {group: dict(line.split(" = ") for line in lines(text)) for group, text in config["options.entry_points"].items()}
    assert {group: dict(built[group]) for group in built.sections()} == declared
    assert declared["console_scripts"]["tastytrade-provider"] == "tastytrade_provider.cli:main"
    assert not {"tastytrade_provider.providers", "tastytrade_provider.indicators"} & declared.keys()


def test_the_wheel_holds_our_folders_and_nothing_else(files: list[str]) -> None:
    folders = {file.partition("/")[0] for file in files}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"tastytrade_provider", "indicators", "migration"}
    assert not [file for file in files if "__pycache__" in file]


def test_every_module_and_data_file_is_in_the_wheel(files: list[str]) -> None:
    sources = [file for name in SOURCES[4:] for file in (ROOT / name).rglob("*") if file.is_file()]
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in sources
        if path.suffix in {".py", ".yaml"} or path.name in {"py.typed", "GUIDE.md"} or "static" in path.relative_to(ROOT).parts
    }
    assert "tastytrade_provider/py.typed" in wanted
    assert {file for file in wanted if "__pycache__" not in file} <= set(files)


def test_indicators_carry_no_init(files: list[str]) -> None:
    assert "indicators/manager.py" in files
    assert not [file for file in files if file.startswith("indicators/") and file.endswith("__init__.py")]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-compile",
        "--target",
        str(target),
        str(wheel),
    ]
    done = subprocess.run(pip, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture(params=["with an __init__.py", "without an __init__.py"])
def users(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A user's program with indicators/{manager,base,volume_delta}.py of its own."""
    folder = tmp_path / "indicators"
    folder.mkdir()
    for name in ("manager", "base", "volume_delta"):
        (folder / f"{name}.py").write_text("class IndicatorManager: pass\nclass Indicator: pass\nclass VolumeDelta: pass\n")
    if request.param.startswith("with an"):
        (folder / "__init__.py").write_text("")
    return tmp_path


OURS = "from tastytrade_provider.indicators import IndicatorManager as ours, CVD"
USERS = "import indicators.manager, indicators.base, indicators.volume_delta"
SHOW = """
import sys
from pathlib import Path
of = lambda module: str(Path(sys.modules[module].__file__).resolve().parents[1])
print(of(ours.__module__), of(CVD.__module__), of("indicators.manager"), of("indicators.base"), of("indicators.volume_delta"), sep="\\n")
"""


@pytest.mark.parametrize("order", [(OURS, USERS), (USERS, OURS)], ids=["ours first", "the user's first"])
def test_our_indicators_and_a_users_folder_of_that_name_live_side_by_side(installed: Path, users: Path, order: tuple[str, str]) -> None:
    # -S leaves out .pth files, so an editable installation of this checkout cannot lend a hand
    path = os.pathsep.join([str(users), str(installed), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    done = subprocess.run(
        [sys.executable, "-S", "-c", "\n".join([*order, SHOW])],
        cwd=users,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:5] == [str(installed.resolve())] * 2 + [str(users.resolve())] * 3
