"""A comparison as `report.json` for programs and as one self-contained page for people: no script, no other file, nothing fetched."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

from .checks import CHECKS, VERDICTS, Check, worst
from .compare import Result
from .plots import Line, columns, lines

_STYLE: Final = """
:root{color-scheme:light}body{font:15px/1.5 system-ui,sans-serif;color:#0f172a;background:#f8fafc;margin:0 auto;max-width:1360px;padding:24px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:19px;margin:32px 0 8px}.sub{color:#475569;margin:0 0 16px}
table{border-collapse:collapse;width:100%;background:#fff;border:1px solid #e2e8f0}
th,td{text-align:left;padding:7px 12px;border-top:1px solid #e2e8f0;vertical-align:top}
th{background:#f1f5f9;font-weight:600}th.n{text-align:right}small{display:block;color:#475569;min-width:11em}.wide{overflow-x:auto}td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.v{display:inline-block;min-width:3.6em;text-align:center;border-radius:4px;padding:1px 8px;font-weight:700;font-size:13px;color:#fff}
.PASS{background:#15803d}.WATCH{background:#a16207}.FAIL{background:#b91c1c}code{font-size:13px}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));gap:16px;margin:16px 0}
figure{margin:0;background:#fff;border:1px solid #e2e8f0;padding:12px}figcaption{font-weight:600}
svg{width:100%;height:auto;font:12px system-ui,sans-serif;fill:#334155}
.key{font-weight:400;margin-left:12px}.key::before{content:"";
display:inline-block;width:18px;height:3px;background:var(--c);vertical-align:middle;margin-right:6px}
li{margin:2px 0}
"""
_MEANINGS: Final = {kind.name: kind.meaning for kind in CHECKS}
_RULE: Final = "A check whose value is above its first limit is WATCH, above its second FAIL; a whole is as bad as its worst check."
_WHERE: Final = "<code>ab.thresholds</code> in the configuration sets the limits: the check's name with <code>_watch</code> or <code>_fail</code> behind it."


def to_json(results: Sequence[Result]) -> bytes:
    """The verdict over all, and every comparison with its checks and figures."""
    found = {"verdict": worst([result.verdict for result in results]), "comparisons": [result.as_dict() for result in results]}
    return orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)


def to_html(results: Sequence[Result], title: str = "A/B comparison") -> str:
    """The page."""
    verdict = worst([result.verdict for result in results])
    body = "".join(part for result in results for part in _section(result))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}: {verdict}</title><style>{_STYLE}</style></head><body>"
        f'<h1>{html.escape(title)} <span class="v {verdict}">{verdict}</span></h1>'
        f'<p class="sub">{html.escape(_headline(results))}</p><p class="sub">{_RULE} {_WHERE}</p>{body}</body></html>'
    )


def write_report(folder: Path, results: Sequence[Result], title: str = "A/B comparison") -> tuple[Path, Path]:
    """Write report.json and report.html into the folder, which is made if need be. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "report.json", folder / "report.html"
    paths[0].write_bytes(to_json(results))
    paths[1].write_text(to_html(results, title), encoding="utf-8")
    return paths


def to_lines(results: Sequence[Result]) -> Iterator[str]:
    """The checks as plain text, the worst first, those that did not pass with the limit they crossed; and the sum of them all."""
    for result in results:
        yield f"{result.symbol + ': ' if result.symbol else ''}{result.verdict}  ({result.labels[0]} against {result.labels[1]}: {_seen(result)})"
        for check in sorted(result.checks, key=lambda one: -VERDICTS.index(one.verdict)):
            yield f"  {check.verdict:5}  {check.name:20}  {check.reason}{_crossed(check)}"
        for note in result.facts.get("notes", ()):
            yield f"  note: {note}"
    yield f"{worst([result.verdict for result in results])}: {_headline(results)}"


def _headline(results: Sequence[Result]) -> str:
    counts = [sum(check.verdict == verdict for result in results for check in result.checks) for verdict in VERDICTS]
    names = sorted({" against ".join(result.labels) for result in results})
    return f"{', '.join(names)}: {counts[2]} FAIL, {counts[1]} WATCH and {counts[0]} PASS of {sum(counts)} checks"


def _seen(result: Result) -> str:
    """What was held against each other, and of what time."""
    facts = result.facts
    found = [
        "{:,} and {:,} {}".format(*facts[kind][counted], counted if kind == "trades" else kind)
        for kind, counted in (("trades", "prints"), ("quotes", "updates"), ("bars", "bars"))
        if kind in facts
    ]
    seconds = [row[0] * 60 for row in facts.get("trades", {}).get("recent", ())] + [start_ns // 10**9 for start_ns in facts.get("bars", {}).get("span_ns", ())]
    when = f", {_clock(min(seconds), '%Y-%m-%d %H:%MZ')} to {_clock(max(seconds), '%Y-%m-%d %H:%MZ')}" if seconds else ""
    return (", ".join(found) or "nothing") + when


def _crossed(check: Check) -> str:
    limit = check.fail if check.verdict == "FAIL" else check.watch
    return "" if check.verdict == "PASS" else f" [{check.verdict} above {_number(limit, check.unit)}]"


def _section(result: Result) -> Iterator[str]:
    yield f'<h2>{html.escape(result.symbol or "Bars")} <span class="v {result.verdict}">{result.verdict}</span></h2>'
    yield f'<p class="sub">{html.escape(_seen(result))}</p>'
    head = '<th class="n">Value</th><th class="n">WATCH above</th><th class="n">FAIL above</th>'
    yield f'<div class="wide"><table><tr><th>Verdict</th><th>Check</th>{head}<th>What was found</th></tr>'
    for check in sorted(result.checks, key=lambda one: -VERDICTS.index(one.verdict)):
        figures = "".join(f'<td class="n">{_number(value, check.unit)}</td>' for value in (check.value, check.watch, check.fail))
        name = f"<code>{check.name}</code><small>{html.escape(_MEANINGS[check.name])}</small>"
        yield f'<tr><td><span class="v {check.verdict}">{check.verdict}</span></td><td>{name}</td>{figures}<td>{html.escape(check.reason)}</td></tr>'
    yield "</table></div>"
    yield f'<div class="plots">{"".join(_plots(result))}</div>'
    events = [f"{event['side']}: {event['kind']}: {event['text']}" for event in result.facts.get("health", {}).get("events", ())]
    for heading, texts in (("What happened", events), ("Notes", result.facts.get("notes", ()))):
        if texts:
            yield f"<h3>{heading}</h3><ul>{''.join(f'<li>{html.escape(text)}</li>' for text in texts)}</ul>"


def _plots(result: Result) -> Iterator[str]:
    a, b = result.labels
    trades, bars = result.facts.get("trades", {}), result.facts.get("bars", {})
    if trades:
        minutes = trades["recent"]
        places = [_clock(row[0] * 60) for row in minutes]
        for title, at, unit in (("Volume by minute", 1, "lots"), ("Volume delta by minute", 3, "lots")):
            yield lines(title, places, [Line(a, [row[at] for row in minutes]), Line(b, [row[at + 1] for row in minutes])], unit)
        yield columns(f"Who is first: ms by which {b} is later", _coarse(trades["lead_ms"]), "prices")
    if bars:
        every: dict[int, int] = {}
        for counts in bars["apart_ticks"].values():
            for ticks, count in counts.items():
                place = int(max(-10, min(10, ticks)))
                every[place] = every.get(place, 0) + count
        shown = {_edge(place): every[place] for place in sorted(every)}
        yield columns(f"Prices of bars: {b} minus {a}, in ticks", shown, "prices")
        starts = [_clock(row[0] // 10**9) for row in bars["recent"]]
        curves = [Line(name, [float("nan") if row[at] is None else row[at] for row in bars["recent"]]) for at, name in ((1, a), (2, b))]
        yield lines("Volume by bar", starts, curves, "contracts")


def _edge(ticks: int) -> str:
    return f"≤{ticks}" if ticks == -10 else f"≥{ticks}" if ticks == 10 else f"{ticks:+d}" if ticks else "0"


def _coarse(counts: Mapping[float, int]) -> dict[str, float]:
    """A histogram of at most about 30 bins, of a width that reads well, over the middle 98 %."""
    total, seen = sum(counts.values()), 0
    kept = []
    for value, count in sorted(counts.items()):
        seen += count
        if seen >= 0.01 * total and seen - count <= 0.99 * total:
            kept.append(value)
    if not kept:
        return {}
    spread = max(kept[-1] - kept[0], 0.25)
    width = next(width for width in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if spread / width <= 30 or width == 1000)
    first, last = round(kept[0] / width), round(kept[-1] / width)
    found = dict.fromkeys(range(first, last + 1), 0.0)
    for value, count in counts.items():
        found[max(first, min(last, round(value / width)))] += count
    names = {place: f"{place * width:g}" for place in found}
    if first < last:  # what lies beyond is in the outermost
        names |= {first: "≤" * (min(counts) < (first - 0.5) * width) + names[first], last: "≥" * (max(counts) > (last + 0.5) * width) + names[last]}
    return {names[place]: count for place, count in found.items()}


def _clock(second: int, form: str = "%m-%d %H:%MZ") -> str:
    return datetime.fromtimestamp(second, UTC).strftime(form)


def _number(value: float, unit: str = "") -> str:
    return "never" if value == float("inf") else f"{value:,.4g} {unit}".rstrip()
