"""The import name of the indicators that no other folder can take: `from tastytrade_provider.indicators import IndicatorManager, CVD`.

They lie in the folder `indicators` beside this package, and many programs have a folder of that name themselves. Importing through here
does not care who wins the name: `__path__` makes this module a package whose submodules lie there (`tastytrade_provider.indicators.cvd`).
Nothing is loaded before it is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .door import lazily

if TYPE_CHECKING:
    from indicators.attaching import Attached, attach
    from indicators.base import Indicator
    from indicators.cvd import CVD
    from indicators.delta_detail import CVDBySize, DeltaDetail
    from indicators.delta_divergence import DeltaDivergence, divergences
    from indicators.delta_quality import DeltaQuality
    from indicators.delta_signals import DeltaSignals
    from indicators.footprint import FootprintIndicator
    from indicators.footprint_bars import FootprintBars, FootprintLevels, read_footprint
    from indicators.live import LiveSet, Update
    from indicators.manager import IndicatorManager
    from indicators.order_prints import orders
    from indicators.params import Param
    from indicators.tape_speed import TapeSpeed
    from indicators.volume_delta import VolumeDelta

__all__ = [
    "CVD",
    "Attached",
    "CVDBySize",
    "DeltaDetail",
    "DeltaDivergence",
    "DeltaQuality",
    "DeltaSignals",
    "FootprintBars",
    "FootprintIndicator",
    "FootprintLevels",
    "Indicator",
    "IndicatorManager",
    "LiveSet",
    "Param",
    "TapeSpeed",
    "Update",
    "VolumeDelta",
    "attach",
    "divergences",
    "orders",
    "read_footprint",
]

__path__ = [str(Path(__file__).resolve().parent.parent / "indicators")]

__getattr__ = lazily(
    __name__,
    {
        "Attached": "attaching",
        "CVD": "cvd",
        "CVDBySize": "delta_detail",
        "DeltaDetail": "delta_detail",
        "DeltaDivergence": "delta_divergence",
        "DeltaQuality": "delta_quality",
        "DeltaSignals": "delta_signals",
        "FootprintBars": "footprint_bars",
        "FootprintIndicator": "footprint",
        "FootprintLevels": "footprint_bars",
        "Indicator": "base",
        "IndicatorManager": "manager",
        "LiveSet": "live",
        "Param": "params",
        "TapeSpeed": "tape_speed",
        "Update": "live",
        "VolumeDelta": "volume_delta",
        "attach": "attaching",
        "divergences": "delta_divergence",
        "orders": "order_prints",
        "read_footprint": "footprint_bars",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
