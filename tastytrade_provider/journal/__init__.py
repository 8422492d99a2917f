"""The durable raw feed: FEED_DATA messages as they came, in a folder of CRC-framed segments. `journal.sessions` holds the Parquet files made of them."""

from .context import Context, Standing
from .log import Journal
from .segments import Damage, Reader, Report, contexts, segments, verify

__all__ = ["Context", "Damage", "Journal", "Reader", "Report", "Standing", "contexts", "segments", "verify"]
