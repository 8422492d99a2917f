"""Plots as inline SVG text: they need no library, no script and no network to be seen."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

COLOURS: Final = ("#2563eb", "#ea580c")
"""Of side A and side B; they also differ in lightness, for those who see no colours."""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 220, 64, 30, 12


class Line(NamedTuple):
    """A curve: what it is called, and its values at the plot's places; NaN leaves a hole."""

    label: str
    values: Sequence[float]


def lines(title: str, places: Sequence[str], curves: Sequence[Line], unit: str) -> str:
    """Curves over the same places, which are labels of the x axis, evenly spaced."""
    known = [value for curve in curves for value in curve.values if math.isfinite(value)]
    if not known or len(places) < 2:
        return ""
    low, high = min(0.0, *known), max(0.0, *known)
    step = (_WIDTH - _LEFT - 10) / (len(places) - 1)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / ((high - low) or 1)

    body = [_axis(low, high, unit)]
    for colour, curve, dash in zip(COLOURS, curves, ("", ' stroke-dasharray="5 3"'), strict=False):
        points = [
            f"{'M' if i == 0 or not math.isfinite(curve.values[i - 1]) else 'L'}{_LEFT + i * step:.1f} {y(value):.1f}"
            for i, value in enumerate(curve.values)
            if math.isfinite(value)
        ]
        body.append(f'<path d="{"".join(points)}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>')
    for i in sorted({0, len(places) // 2, len(places) - 1}):
        anchor = "start" if i == 0 else "end" if i == len(places) - 1 else "middle"
        body.append(f'<text x="{_LEFT + i * step:.1f}" y="{_HEIGHT - 10}" text-anchor="{anchor}">{html.escape(places[i])}</text>')
    return _figure(title, body, [curve.label for curve in curves])


def columns(title: str, counts: Mapping[str, float], unit: str) -> str:
    """A column for each label, as high as its number, with the number above it."""
    if not any(counts.values()):
        return ""
    high = max(counts.values())
    width = min(60.0, (_WIDTH - _LEFT - 10) / len(counts))
    every = max(1, math.ceil(len(counts) / 14))
    body = [_axis(0.0, high, unit)]
    for i, (label, count) in enumerate(counts.items()):
        tall = (_HEIGHT - _TOP - _BOTTOM - 14) * count / high
        x, top = _LEFT + i * width, _HEIGHT - _BOTTOM - tall
        body.append(f'<rect x="{x + width * 0.1:.1f}" y="{top:.1f}" width="{width * 0.8:.1f}" height="{tall:.1f}" fill="{COLOURS[0]}"/>')
        if i % every == 0:
            body.append(f'<text x="{x + width / 2:.1f}" y="{_HEIGHT - 10}" text-anchor="middle">{html.escape(label)}</text>')
        if len(counts) <= 14 and count:
            body.append(f'<text x="{x + width / 2:.1f}" y="{top - 4:.1f}" text-anchor="middle">{_short(count)}</text>')
    return _figure(title, body, [])


def _axis(low: float, high: float, unit: str) -> str:
    bottom, zero = _HEIGHT - _BOTTOM, _TOP + (_HEIGHT - _TOP - _BOTTOM) * high / ((high - low) or 1)
    marks = [f'<text x="{_LEFT - 6}" y="{_TOP + 8}" text-anchor="end">{_short(high)}</text>']
    marks += [f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">{_short(low)}</text>'] if low != high else []
    marks += [f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{at:.1f}" y2="{at:.1f}" stroke="#cbd5e1"/>' for at in {zero, float(bottom)}]
    middle = (_TOP + bottom) / 2
    return "".join(marks) + f'<text x="14" y="{middle}" transform="rotate(-90 14 {middle})" text-anchor="middle">{html.escape(unit)}</text>'


def _figure(title: str, body: Sequence[str], labels: Sequence[str]) -> str:
    key = " ".join(f'<span class="key" style="--c:{colour}">{html.escape(label)}</span>' for colour, label in zip(COLOURS, labels, strict=False))
    picture = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(title)}">{"".join(body)}</svg>'
    return f"<figure><figcaption>{html.escape(title)} {key}</figcaption>{picture}</figure>"


def _short(value: float) -> str:
    """A number in at most five characters or so.

    >>> [_short(value) for value in (0, 12, 0.25, 1234567.0, -45600)]
    ['0', '12', '0.25', '1.2M', '-46k']
    """
    for limit, letter in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scaled = value / (1e6 if letter == "M" else 1e3)
            return f"{scaled:.1f}{letter}" if abs(scaled) < 10 else f"{scaled:.0f}{letter}"
    return f"{value:.4g}"
