"""A scan as one HTML page without scripts or anything from elsewhere."""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import Final

from .scanner import Report

_STYLE: Final = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid #8884 }
td:first-child { font-variant-numeric: tabular-nums; white-space: nowrap } h2 { font-size: 1rem; margin: 1.6rem 0 .3rem; overflow-wrap: anywhere }
.Auto { color: #1a7f4b } .Assist { color: #b06a00 } .Manual { color: #c0362c } b { font-weight: 600 }
"""


def to_page(report: Report, title: str) -> str:
    """The whole page: a summary, then the sites file by file."""
    effort = ", ".join(f'<b class="{name}">{count:,} {name}</b>' for name, count in report.effort().items())
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>',
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1>",
        f"<p>{len(report.hits):,} call sites in {len({hit.file for hit in report.hits}):,} of {report.files:,} files, {report.lines:,} lines: {effort}.</p>",
        "<p>Auto: <code>migrate rewrite</code> does it. Assist: it leaves a TODO. Manual: yours to decide.</p>",
    ]
    for file, hits in groupby(report.hits, key=lambda hit: hit.file):
        parts.append(f"<h2>{escape(file)}</h2><table><tr><th>Line<th>Class<th>Rule<th>Advice</tr>")
        for hit in hits:
            place = f"{hit.line}:{hit.column}" + (f" (cell {hit.cell})" if hit.cell else "")
            advice = f"{escape(hit.advice)} <small>{escape(hit.guide)}</small>"
            parts.append(f'<tr><td>{place}<td class="{hit.effort}">{hit.effort}<td>{escape(hit.rule)}<td>{advice}</tr>')
        parts.append("</table>")
    if report.unread:
        parts.append("<h2>Not read</h2><ul>" + "".join(f"<li>{escape(one.file)}: {escape(one.reason)}" for one in report.unread) + "</ul>")
    return "\n".join(parts) + "\n"
