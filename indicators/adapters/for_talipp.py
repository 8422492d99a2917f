"""talipp: our indicators with `add(value)`, `update(value)`, `remove()` and the outputs as a sequence."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import make_dataclass
from functools import cache
from typing import Any

from tastytrade_provider.errors import NotSupported
from tastytrade_provider.model import Bar

from ..base import Indicator
from ..manager import IndicatorManager
from .framework import framework

UNDOABLE = 16
"""Values that `remove` can take back at once; further back it works all of them out again."""

_FIELDS = (
    "time", "start_ns", "open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "min_delta", "max_delta", "session", "complete", "contract",
)  # fmt: skip


def order_flow(name: str, input_values: Iterable[Any] | None = None, **params: Any) -> Any:
    """A talipp indicator: `cvd = order_flow("cvd"); cvd.add(bar); cvd[-1].cvd`.

    A value is a Bar, a mapping, or an object with a bar's fields as attributes: talipp's OHLCV with buy_volume and sell_volume set on it.
    Outputs are floats, or where there are several an object with one attribute each.
    """
    return _class()(IndicatorManager().create(name, **params), input_values)


def _bar(value: Any) -> Bar | Mapping[str, Any]:
    if isinstance(value, Bar | Mapping):
        return value
    return {field: getattr(value, field) for field in _FIELDS if getattr(value, field, None) is not None}


@cache
def _class() -> Any:
    base = framework("talipp.indicators.Indicator", "talipp").Indicator

    class OrderFlow(base):  # type: ignore[misc, valid-type]
        def __init__(self, indicator: Indicator, input_values: Iterable[Any] | None) -> None:
            outputs = indicator.outputs
            kind = float if len(outputs) == 1 else make_dataclass("".join(part.capitalize() for part in indicator.name.split("_")) + "Val", outputs)
            super().__init__(output_value_type=kind)
            self._own, self._purged = indicator, False
            self._before: list[Indicator] = []
            self.initialize(input_values)

        def _calculate_new_value(self) -> Any:
            self._before = [*self._before[1 - UNDOABLE :], copy.deepcopy(self._own)]
            values = self._own.update(_bar(self.input_values[-1]))
            return self.output_value_type(*values.values())

        def remove(self) -> None:
            self._is_blank = not self.input_values or self.input_values[-1] is None  # talipp calculates nothing for None
            super().remove()

        def _remove_custom(self) -> None:
            if self._is_blank:
                return
            if self._before:
                self._own = self._before.pop()
                return
            if self._purged:
                raise NotSupported(f"no more than {UNDOABLE} values can be removed once older ones were purged")
            self._own.reset()
            for value in self.input_values:
                if value is not None:
                    self._own.update(_bar(value))

        def _remove_all_custom(self) -> None:
            self._own.reset()
            self._before, self._purged = [], False

        def _purge_oldest_custom(self, size: int) -> None:
            self._purged = self._purged or size > 0

    return OrderFlow
