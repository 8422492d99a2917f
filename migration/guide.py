"""The guide as data: its sections, its examples, and the table of call sites that is printed from the rules.

`python -m migration.guide` puts the table into GUIDE.md again; a test tells where that was forgotten.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from .rules import table

PATH: Final = Path(__file__).with_name("GUIDE.md")
_BEGIN, _END = "<!-- table of migration/rules.py -->\n", "<!-- end of table -->\n"
_BEFORE, _AFTER = "# Interactive Brokers\n", "\n# TastyTrade\n"
_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


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


def anchors(text: str) -> list[str]:
    """The anchors of all headings, in order. Lines of code are no headings."""
    return [anchor_of(match[1]) for match in _HEADING.finditer(_FENCE.sub(lambda block: "\n" * block[0].count("\n"), text))]


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
