"""`from tastytrade_provider.compat import IB, Future, util` instead of `from ib_async import ...`: the program stays, its market data come from any provider.

Everything but `IB` is ib_async's own. `IB` is ib_async's own too, with another client below it: see `compat.ib`. Needs the extra [ib].
"""

from __future__ import annotations

from typing import Any

try:
    import ib_async
except ModuleNotFoundError as error:
    from ..errors import MissingExtra

    raise MissingExtra("tastytrade_provider.compat needs ib_async: pip install 'tastytrade-provider[ib]'") from error
from ib_async import *  # noqa: F403
from ib_async import Forex as Forex  # not in its `__all__`

from .ib import IB as IB

__all__ = [*ib_async.__all__, "Forex"]


def __getattr__(name: str) -> Any:
    """What ib_async has and does not list: its submodules, for one."""
    return getattr(ib_async, name)
