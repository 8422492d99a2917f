"""A config as written: a YAML file or a dict as plain values, with the line of every key and what is wrong with it.

YAML by the 1.2 rules: `18:00`, `09:30`, `ON`, `NO`, `off` and `/ESZ6:XCME` are text, only true and false are booleans, a key written
twice is a mistake. `${NAME}` is filled in from the environment. Knows nothing of which keys there are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import yaml

from .errors import ConfigError

Key = tuple[str | int, ...]
"""A place in the config: `("ib", "port")`, `("symbols", 0)`."""


@dataclass(frozen=True, slots=True)
class Given:
    """`values` as written, the line of each key (none for a dict), and by key what is wrong."""

    label: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Key, int] = field(default_factory=dict)
    mistakes: dict[Key, str] = field(default_factory=dict)

    def line(self, key: Key) -> int:
        """The line of the key, or of the nearest section around it that is written; 0 where there is none."""
        return next((self.lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in self.lines), 0)

    def where(self, key: Key) -> str:
        """`config.yaml:12`, or only the name of the file."""
        return f"{self.label}:{self.line(key)}" if self.line(key) else self.label

    def get(self, key: Key) -> Any:
        """What is written there, `${NAME}` and all; None where nothing is."""
        found: Any = self.values
        for part in key:
            inside = isinstance(found, list) and isinstance(part, int) and part < len(found)
            found = found[part] if inside else found.get(part) if isinstance(found, Mapping) else None
        return found

    def filled(self, secrets: Collection[Key]) -> dict[str, Any]:
        """The values with `${NAME}` replaced. A variable that is not set is a mistake, at a secret key it is None."""
        return {name: self._fill(value, (name,), secrets) for name, value in self.values.items()}

    def _fill(self, value: Any, key: Key, secrets: Collection[Key]) -> Any:
        if isinstance(value, Mapping):
            return {name: self._fill(part, (*key, name), secrets) for name, part in value.items()}
        if isinstance(value, list):
            return [self._fill(part, (*key, n), secrets) for n, part in enumerate(value)]
        if not isinstance(value, str):
            return value
        unset = [match[1] for match in VARIABLE.finditer(value) if not _variable(match)]
        if unset and key not in secrets:
            self.mistakes[key] = f"${{{unset[0]}}} is not set in the environment"
        return None if unset else VARIABLE.sub(_variable, value)


def _variable(match: re.Match[str]) -> str:
    return os.environ.get(match[1], "").strip()


VARIABLE: Final = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_TAG: Final = "tag:yaml.org,2002:"
# YAML 1.2.2, section 10.3.2, tag resolution of the core schema; integers end at 18 digits, longer ones are floats
_SCALARS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "null": (r"(?:null|Null|NULL|~|)$", lambda text: None),
    "bool": (r"(?:true|True|TRUE|false|False|FALSE)$", lambda text: text.lower() == "true"),
    "int": (r"(?:[-+]?[0-9]{1,18}|0o[0-7]{1,18}|0x[0-9a-fA-F]{1,15})$", lambda text: int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))),
    "float": (
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        lambda text: float(re.sub(r"\.(?=[in])", "", text.lower())),
    ),
    "str": (r"(?!)", str),
}


class _Yaml12(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012  (PyYAML's own name; empties the YAML 1.1 rules)


for _tag, (_pattern, _) in _SCALARS.items():
    _Yaml12.add_implicit_resolver(_TAG + _tag, re.compile(_pattern), None)


def _plain(node: yaml.Node, key: Key, given: Given) -> Any:
    given.lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*key, n), given) for n, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for name, value in node.value:
            text = name.value if isinstance(name, yaml.ScalarNode) else "?"
            at = (*key, text)
            if text in found:
                given.mistakes[at] = f"written twice, first on line {given.lines[at]}"
            given.lines[at] = name.start_mark.line + 1
            found[text] = _plain(value, at, given)
        return found
    try:
        return _SCALARS[node.tag.removeprefix(_TAG)][1](node.value)
    except (KeyError, ValueError):
        given.mistakes[key] = "has a tag (!...) that does not fit; write the value without one"
        return None


_PROBLEMS: Final = (  # what PyYAML says -> what to say of it; {line}: where the thing begins that it was reading
    (r"<stream end>|end of stream", "the file ends inside what begins on line {line}: a bracket, a brace or a quote is not closed"),
    (r"\\t", "a tab stands where only spaces may; indent with spaces"),
    (r"but got '\{'", 'a {{ stands where a comma or the end belongs; inside {{ }} and [ ] write "${{NAME}}" in quotes'),
    (r"expected ',' or", "a comma, or the end of what was opened on line {line} with a bracket or brace, is missing before this"),
    (r"mapping values", "a colon that does not belong here: write text that holds one in quotes, and indent the lines of a section alike"),
    (r"<block end>", "this does not belong to what stands above it: indent the lines of a section alike, and put a text into quotes as a whole"),
    (r"cannot start any token", "a text cannot begin with this character; write it in quotes"),
    (r"undefined alias", "an alias (*name) of nothing; write a text that begins with * in quotes"),
    (r"second occurrence", "this anchor (&name) is there already; write a text that begins with & in quotes"),
    (r"another document", "a second document (---) begins; only one is read"),
)


def _problem(error: yaml.MarkedYAMLError) -> str:
    """What is wrong, with no word of the file: it might be a secret."""
    said = str(error.problem or error.context)
    begun = error.context_mark or error.problem_mark
    for pattern, text in _PROBLEMS:
        if re.search(pattern, said):
            return text.format(line=begun.line + 1 if begun else 1)
    return re.sub(r"'([^']*)'", lambda quoted: quoted[0] if len(quoted[1]) < 2 else "a word", said)


def from_file(path: Path) -> Given:
    """Read a YAML file. What cannot be read at all raises ConfigError: one line, with line and column, quoting nothing from the file."""
    given = Given(str(path))
    try:
        root = yaml.compose(path.read_text("utf-8-sig"), Loader=_Yaml12)
        tree = {} if root is None else _plain(root, (), given)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        fault = f"{path}{at}: not YAML: {_problem(error)}"
    except OSError as error:
        fault = f"{path}: cannot be read: {error.strerror}"
    except (yaml.YAMLError, UnicodeDecodeError):
        fault = f"{path}: not YAML: it holds bytes or characters that YAML does not allow; save it as UTF-8 text"
    except RecursionError:
        fault = f"{path}: nested too deeply, or an alias (*name) stands inside what it names"
    else:
        if isinstance(tree, dict) or tree is None:
            return replace(given, values=tree or {})
        fault = f"{path}:{given.lines[()]}: not a set of keys; write key: value lines"
    raise ConfigError(fault)


def from_mapping(values: Mapping[Any, Any]) -> Given:
    """The same from a dict, copied; it has no lines."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(name): plain(part) for name, part in value.items()}
        return [plain(part) for part in value] if isinstance(value, list | tuple) else value

    return Given("config", plain(values))
