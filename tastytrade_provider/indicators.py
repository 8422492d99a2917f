"""The import name of the indicators that no other folder can take: `from tastytrade_provider.indicators import IndicatorManager, CVD`.

They lie in the folder `indicators` beside this package, and many programs have a folder of that name themselves. Importing through here
does not care who wins the name: `__path__` makes this module a package whose submodules lie there (`tastytrade_provider.indicators.cvd`).
Nothing is loaded before it is asked for.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from indicators.base import Indicator
    from indicators.cvd import CVD
    from indicators.delta_divergence import DeltaDivergence, divergences
    from indicators.footprint import FootprintIndicator
    from indicators.live import LiveSet, Update
    from indicators.manager import IndicatorManager
    from indicators.params import Param
    from indicators.volume_delta import VolumeDelta

__all__ = [
    "CVD",
    "DeltaDivergence",
    "FootprintIndicator",
    "Indicator",
    "IndicatorManager",
    "LiveSet",
    "Param",
    "Update",
    "VolumeDelta",
    "divergences",
]

__path__ = [str(Path(__file__).resolve().parent.parent / "indicators")]

_MODULE_OF = {
    "CVD": "cvd",
    "DeltaDivergence": "delta_divergence",
    "FootprintIndicator": "footprint",
    "Indicator": "base",
    "IndicatorManager": "manager",
    "LiveSet": "live",
    "Param": "params",
    "Update": "live",
    "VolumeDelta": "volume_delta",
    "divergences": "delta_divergence",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
