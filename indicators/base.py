"""What an indicator is: a kernel over columns with carried state. A frame, a closed bar and the forming bar all go through the same one."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from tastytrade_provider.model import Bar

from .columns import Bars, Columns, Floats
from .params import Param, settle

_BLOCK = 16_384  # bars of a frame that go through the kernel at once: their columns stay in the processor's cache


class Indicator(ABC):
    """One indicator with its parameters and the state it carries from bar to bar.

    name      what it is registered and reported under       input    "bars", or "trades" for what bars cannot tell
    inputs    columns it cannot do without                   outputs  columns it returns, the first is the main one
    flags     outputs that are True or False                 accepts  its parameters
    params    the values in force                            warmup   bars before the first complete value of the main output

    A subclass declares these and writes `_state` (a new, empty state) and `_kernel` (bars in, values out, state carried on). `run`,
    `extend`, `update` and `preview` are the same calculation, so they cannot disagree. Instances pickle, and their memory does not grow.
    """

    name: ClassVar[str]
    input: ClassVar[Literal["bars", "trades"]] = "bars"
    inputs: tuple[str, ...] = ()
    outputs: ClassVar[tuple[str, ...]]
    flags: ClassVar[frozenset[str]] = frozenset()
    accepts: ClassVar[tuple[Param, ...]] = ()

    def __init__(self, **params: Any) -> None:
        self.params: Mapping[str, Any] = settle(self.name, self.accepts, params)
        self._carried = self._state()

    @property
    def warmup(self) -> int:
        """Bars before the first complete value of the main output."""
        return 0

    def run(self, data: pd.DataFrame) -> pd.DataFrame:
        """The outputs over a frame of closed bars, oldest first, on the same index. Starts from an empty state and commits nothing.

        Raises MissingColumns, naming who has them.
        """
        return self._frame(data, self._through(self._state(), data))

    def extend(self, data: pd.DataFrame) -> pd.DataFrame:
        """Commit a frame of closed bars: `update` for many."""
        return self._frame(data, self._through(self._carried, data))

    def update(self, bar: Bar | Mapping[str, Any]) -> dict[str, float]:
        """Commit one closed bar and return its values; NaN where not known."""
        return self._values(self._through(self._carried, bar))

    def preview(self, bar: Bar | Mapping[str, Any]) -> dict[str, float]:
        """The values if this bar closed as it stands. Commits nothing."""
        return self._values(self._through(copy.deepcopy(self._carried), bar))

    def reset(self) -> None:
        """Forget all bars."""
        self._carried = self._state()

    @classmethod
    def describe(cls) -> dict[str, Any]:
        """What it is, reads, returns and accepts, ready for JSON."""
        return {
            "name": cls.name,
            "summary": (cls.__doc__ or "").strip().partition("\n")[0],
            "input": cls.input,
            "inputs": list(cls.inputs),
            "outputs": list(cls.outputs),
            "params": [{"name": p.name, "default": p.default, "accepts": p.accepts, "meaning": p.meaning} for p in cls.accepts],
        }

    @abstractmethod
    def _state(self) -> Any:
        """A new state, before any bar: arrays of a fixed size."""

    @abstractmethod
    def _kernel(self, state: Any, bars: Columns, out: Floats) -> None:
        """Fill out[bar, output], which comes full of NaN, and carry `state` on. A long frame comes in several calls; out.T lies row by row."""

    def _through(self, state: Any, data: Bars) -> Floats:
        """The values: a row for each output."""
        bars = Columns(data)
        bars.require(self.name, self.inputs)
        n = len(bars)
        if n == 1:
            one = _blank(len(self.outputs)).copy()
            self._kernel(state, bars, one.T)
            return one
        out = np.empty((len(self.outputs), n))
        for at in range(0, n, _BLOCK):
            part = bars.part(at, min(at + _BLOCK, n))
            block = np.full((len(self.outputs), len(part)), np.nan)
            self._kernel(state, part, block.T)
            out[:, at : at + _BLOCK] = block
        return out

    def _frame(self, data: pd.DataFrame, out: Floats) -> pd.DataFrame:
        columns = {name: row != 0 if name in self.flags else row for name, row in zip(self.outputs, out, strict=True)}
        return pd.DataFrame(columns, index=data.index, copy=False)

    def _values(self, out: Floats) -> dict[str, float]:
        row = dict(zip(self.outputs, out[:, 0].tolist(), strict=True))
        for name in self.flags:
            row[name] = row[name] != 0
        return row

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.params.items())})"


@cache
def _blank(outputs: int) -> Floats:
    """Room for one bar. To copy it is the quickest way to NaNs."""
    return np.full((outputs, 1), np.nan)


def column_names(label: str, indicator: Indicator) -> list[str]:
    """The columns of an indicator beside others: its outputs; under a label of its own `label`, or `label_output` where there are several."""
    if label == indicator.name:
        return list(indicator.outputs)
    return [label] if len(indicator.outputs) == 1 else [f"{label}_{output}" for output in indicator.outputs]
