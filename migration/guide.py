"""The guide as data: its sections, its examples, and the table of call sites that is printed from the rules.

`python -m migration.guide` puts the table into GUIDE.md again; a test tells where that was forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NamedTuple

from tastytrade_provider.errors import UsageError

from .rule import GUIDE, Rule
from .rules import CALL_SITES, PANDAS_TRAPS, table

PATH: Final = Path(__file__).with_name("GUIDE.md")
_BEGIN, _END = "<!-- table of migration/rules.py -->\n", "<!-- end of table -->\n"
_BEFORE, _AFTER = "# Interactive Brokers\n", "\n# TastyTrade\n"
_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^<!--.*-->\n+", re.MULTILINE)


class Section(NamedTuple):
    """A heading and what stands below it, deeper headings included."""

    anchor: str
    level: int
    text: str


class Example(NamedTuple):
    """A block of code: the section it stands in (its anchor), its language, and the line of the guide it begins on."""

    anchor: str
    language: str
    code: str
    line: int

    @property
    def pair(self) -> tuple[str, str] | None:
        """The lines for Interactive Brokers and those for TastyTrade, where the block has both."""
        before, begins, after = self.code.partition(_AFTER)
        return (before, after) if begins and before.startswith(_BEFORE) else None


def anchor_of(heading: str) -> str:
    """The anchor that code hosts give a heading.

    >>> anchor_of("Contract details"), anchor_of("Roll back, in one line")
    ('contract-details', 'roll-back-in-one-line')
    """
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def sections(text: str) -> list[Section]:
    """The sections in order, each with those inside it. Lines of code are no headings.

    >>> [section.text for section in sections("# Ticks\\nSee below.\\n## Sides\\nBUY, SELL\\n# Bars\\n")]
    ['# Ticks\\nSee below.\\n## Sides\\nBUY, SELL\\n', '## Sides\\nBUY, SELL\\n', '# Bars\\n']
    """
    headings = list(_HEADING.finditer(_FENCE.sub(lambda block: " " * len(block[0]), text)))
    found = []
    for number, heading in enumerate(headings):
        level = len(heading[1])
        end = next((later.start() for later in headings[number + 1 :] if len(later[1]) <= level), len(text))
        found.append(Section(anchor_of(heading[2]), level, text[heading.start() : end]))
    return found


def anchors(text: str) -> list[str]:
    """The anchors of all headings, in order."""
    return [section.anchor for section in sections(text)]


def contents(text: str) -> str:
    """The sections by name, each below the one it lies in."""
    lines = [f"{'  ' * (section.level - 1)}{section.anchor}\n" for section in sections(text)]
    return f"{''.join(lines)}\n{GUIDE} SECTION prints one (the first: all of it); a rule or a call will do, such as reqMktData\n"


def lookup(text: str, word: str) -> str:
    """What the guide says of a section, or of a rule or the name of a call: its rows and, where all lie in one, the section. UsageError for any other word.

    >>> print(lookup("### Depth\\nIt does not bring market depth.\\n", "reqMktDepth"), end="")
    - **reqMktDepth**: Manual. Market depth is not to be had with the API's token.
      On compat.IB: none. On DataProvider: none. Rule market-depth, section depth.
    - ibapi: **reqMktDepth**: Manual. Market depth is not to be had with the API's token.
      On compat.IB: none. On DataProvider: none. Rule market-depth, section depth.
    <BLANKLINE>
    ### Depth
    It does not bring market depth.
    """
    there = {section.anchor: _COMMENT.sub("", section.text).rstrip() + "\n" for section in sections(text)}
    if (anchor := anchor_of(word)) in there:
        return there[anchor]
    rows, about, known = dict[str, None](), dict[str, None](), set(there)
    for rule in (*CALL_SITES, *PANDAS_TRAPS):
        names = rule.names if word == rule.id else [name for name in rule.names if word.casefold() in (name.casefold(), name.removeprefix("util.").casefold())]
        known |= {rule.id, *rule.names}
        if names:
            rows[_told(rule, names)] = about[rule.anchor] = None
    if not rows:
        near = ", ".join(get_close_matches(word, sorted(known)))
        raise UsageError(f"the guide has no section, rule or call {word!r}{near and f'; near to it: {near}'}; `{GUIDE}` lists the sections")
    more = there[next(iter(about))] if len(about) == 1 else f"`{GUIDE} SECTION` says more: {', '.join(about)}\n"
    return "".join(rows) + "\n" + more


def _told(rule: Rule, names: Iterable[str]) -> str:
    """A row of the table, for a reader who has no room for one."""
    calls = f"{'ibapi: ' if rule.api == 'native' else ''}**{', '.join(names)}**{f' {rule.when}' if rule.when else ''}"
    becomes = f"On compat.IB: {rule.compat}. On DataProvider: {rule.provider}. Rule {rule.id}, section {rule.anchor}."
    return f"- {calls}: {rule.effort}. {rule.advice}\n  {becomes}\n"


def examples(text: str) -> list[Example]:
    """The blocks of code, in order.

    >>> examples("# Frames\\n```python\\nx = 1\\n```\\n")
    [Example(anchor='frames', language='python', code='x = 1\\n', line=3)]
    """
    return [
        Example((anchors(text[: match.start()]) or [""])[-1], match[1], match[2], text.count("\n", 0, match.start(2)) + 1) for match in _FENCE.finditer(text)
    ]


def with_table(text: str) -> str:
    """The guide with the table as the rules have it now. ValueError where its place is not marked."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the guide does not mark the table's place with {_BEGIN.strip()!r} and {_END.strip()!r}")
    return f"{before}{_BEGIN}\n{table()}\n{_END}{after}"


if __name__ == "__main__":
    PATH.write_text(with_table(PATH.read_text("utf-8")), "utf-8")
