"""Every error a caller can meet, as one tree.

```
MarketDataError
├── UsageError            the call or the config is wrong; asking again changes nothing
│   ├── ConfigError           config.yaml, the environment or a secret file
│   ├── UnknownProvider       no provider of that name
│   ├── UnknownContract       no contract of that symbol
│   ├── AmbiguousContract     several contracts fit; the message lists them
│   ├── UnsupportedTimeframe  not a timeframe, or not one this source has
│   ├── MissingColumns        a frame lacks what an indicator needs
│   ├── MissingExtra          an optional package is not installed
│   └── NotSupported          this feed cannot give that
├── FeedError             the other side or the way to it
│   ├── ConnectionLost        retryable
│   ├── RequestTimeout        retryable
│   ├── RateLimited           retryable, not before retry_after_s
│   ├── PacingViolation       retryable, later
│   ├── CapacityExceeded      retryable, with fewer subscriptions
│   ├── SessionConflict       retryable, once the other session has ended
│   ├── AuthenticationFailed  final
│   ├── NotEntitled           final
│   ├── NoData                final
│   └── ProtocolViolation     final for this message
└── JournalDamaged        a stored file is not what was written
```

Providers translate their vendor's errors into these once, `from` the original. No vendor exception and no ExceptionGroup leaves a provider.
A message names what offended and what would have been accepted, and never holds a secret.
"""

from __future__ import annotations

from typing import ClassVar


class MarketDataError(Exception):
    """Root of every error this package raises on purpose."""

    retryable: ClassVar[bool] = False


class UsageError(MarketDataError):
    """The caller asked for something that cannot be; the same call will fail again."""


class ConfigError(UsageError):
    """A configuration value is missing, misspelt, out of range, or a secret stands where it must not."""


class UnknownProvider(UsageError):
    """No provider is registered under that name."""


class UnknownContract(UsageError):
    """The feed knows no contract of that symbol."""


class AmbiguousContract(UsageError):
    """More than one contract fits the symbol; the message lists them."""


class UnsupportedTimeframe(UsageError):
    """Not a timeframe, or one that this source cannot serve."""


class MissingColumns(UsageError):
    """A frame lacks columns that the indicator reads; the message says who has them."""


class MissingExtra(UsageError):
    """A feature needs an optional package; the message names the extra to install."""


class NotSupported(UsageError):
    """This feed does not offer what was asked for."""


class FeedError(MarketDataError):
    """The feed, or the way to it, failed.

    status  HTTP status where there was one, else None.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ConnectionLost(FeedError):
    """The connection could not be made, or went away."""

    retryable = True


class RequestTimeout(FeedError):
    """The other side did not answer in time."""

    retryable = True


class RateLimited(FeedError):
    """Too many requests. `retry_after_s` is what the server asked for, or None."""

    retryable = True

    def __init__(self, message: str, *, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, status=status)
        self.retry_after_s = retry_after_s


class PacingViolation(FeedError):
    """A broker's own pacing rule was broken (Interactive Brokers error 162 and kin)."""

    retryable = True


class CapacityExceeded(FeedError):
    """More subscriptions than the feed allows."""

    retryable = True


class SessionConflict(FeedError):
    """Another session of the same login stands in the way."""

    retryable = True


class AuthenticationFailed(FeedError):
    """The login or a token was refused."""


class NotEntitled(FeedError):
    """The login is good but may not see this data."""


class NoData(FeedError):
    """The feed is up and the market open, and there is no answer to give."""


class ProtocolViolation(FeedError):
    """A message that the protocol does not allow, or that cannot be read."""


class JournalDamaged(MarketDataError):
    """A journal holds bytes that were not written as they stand."""
