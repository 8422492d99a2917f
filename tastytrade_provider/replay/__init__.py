"""What was recorded, played again: a journal, Parquet session files or a tape as a DataProvider. And a journal made into session files (`compact`)."""

from .compact import Compacted, compact
from .provider import ReplayProvider, create
from .sources import open_source

__all__ = ["Compacted", "ReplayProvider", "compact", "create", "open_source"]
