"""The definitions in plain Python, looked up bar by bar: no arrays, no carried state. What golden files are computed with."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]


def volume_delta(rows: list[Row]) -> list[Row]:
    out = []
    for row in rows:
        sided = row["buy_volume"] + row["sell_volume"]
        delta = row["buy_volume"] - row["sell_volume"]
        out.append({"delta": delta, "delta_pct": delta / sided if sided else None})
    return out


def cvd(rows: list[Row]) -> list[Row]:
    """Each bar sums its session from the start."""
    out = []
    for i, row in enumerate(rows):
        before = sum(r["buy_volume"] - r["sell_volume"] for r in rows[:i] if r["session"] == row["session"])
        out.append(
            {
                "cvd": before + row["buy_volume"] - row["sell_volume"],
                "cvd_open": before,
                "cvd_high": before + row["max_delta"],
                "cvd_low": before + row["min_delta"],
            }
        )
    return out


def pivots(rows: list[Row], side: str, left: int, right: int) -> list[int]:
    """Bars that exceed the `left` before them and are not exceeded by the `right` after them."""
    sign = 1 if side == "high" else -1
    values = [sign * row[side] for row in rows]
    return [
        i
        for i in range(left, len(rows) - right)
        if all(values[i] > values[j] for j in range(i - left, i)) and all(values[i] >= values[j] for j in range(i + 1, i + right + 1))
    ]


def events(
    rows: list[Row], *, left: int = 5, right: int = 5, min_gap: int = 5, max_gap: int = 60, min_price_ticks: int = 1, min_cvd: float = 0,
    equal_ticks: int = 0, cvd_value: str = "close", tick_size: float = 0.25, earlier_pivots: int = 1,
) -> list[Row]:  # fmt: skip
    """Every divergence, from order to order of the definition: pivots, the pair, the gap, the segment, the comparison."""
    sums = cvd(rows)
    found = []
    for side in ("high", "low"):
        value = "cvd" if cvd_value == "close" else f"cvd_{side}"
        at = pivots(rows, side, left, right)
        seen: set[int] = set()  # pivots that have found one that they diverge from
        for two, one in ((at[i], at[i - back]) for i in range(len(at)) for back in range(1, min(earlier_pivots, i) + 1)):
            if two in seen or not min_gap <= two - one <= max_gap:
                continue
            between = rows[one : two + 1]
            if any(row["session"] != rows[one]["session"] or not row["complete"] for row in between):
                continue
            ticks = round(rows[two][side] / tick_size) - round(rows[one][side] / tick_size)
            change = sums[two][value] - sums[one][value]
            if side == "high":
                kinds = {
                    "regular": ticks >= min_price_ticks and change <= -min_cvd,
                    "hidden": ticks < 0 and change > 0,
                    "absorption": abs(ticks) <= equal_ticks and change > 0,
                }
            else:
                kinds = {
                    "regular": -ticks >= min_price_ticks and change >= min_cvd,
                    "hidden": ticks > 0 and change < 0,
                    "absorption": abs(ticks) <= equal_ticks and change < 0,
                }
            volume = sum(row["volume"] for row in rows[one + 1 : two + 1])
            for kind, is_so in kinds.items():
                if is_so:
                    seen.add(two)
                    found.append(
                        {
                            "row": two + right, "pivot": two, "prev": one, "kind": kind, "direction": -1 if side == "high" else 1,
                            "ticks": ticks, "change": change, "strength": abs(change) / volume if volume else None,
                        }
                    )  # fmt: skip
    return sorted(found, key=lambda event: (event["row"], event["direction"], ("regular", "hidden", "absorption").index(event["kind"])))


def divergence_columns(rows: list[Row], right: int = 5, **params: Any) -> list[Row]:
    """The columns of each bar from the events on it."""
    by_row: dict[int, list[Row]] = {}
    for event in events(rows, right=right, **params):
        by_row.setdefault(event["row"], []).append(event)
    out = []
    for i, row in enumerate(rows):
        here = by_row.get(i, [])
        conflict = len({event["direction"] for event in here}) == 2
        kinds = {kind: sum(e["direction"] for e in here if e["kind"] == kind and not conflict) for kind in ("regular", "hidden", "absorption")}
        rose, delta = row["close"] - row["open"], row["buy_volume"] - row["sell_volume"]
        out.append(
            {
                **kinds,
                "conflict": int(conflict),
                "bar_divergence": 1 if rose < 0 < delta else -1 if delta < 0 < rose else 0,
                "strength": here[0]["strength"] if here and not conflict else None,
                "pivot_offset": right if here else None,
                "prev_pivot_offset": i - here[0]["prev"] if here and not conflict else None,
            }
        )
    return out
