from __future__ import annotations

import pytest

from tastytrade_provider import errors
from tastytrade_provider.ib.refusals import FARMS, error_for, is_refusal

HMDS = "Historical Market Data Service error message:"


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (162, f"{HMDS}HMDS query returned no data: ESZ6@CME Trades", errors.NoData),
        (162, f"{HMDS}Historical data request pacing violation", errors.PacingViolation),
        (162, f"{HMDS}No market data permissions for CME FUT", errors.NotEntitled),
        (162, f"{HMDS}Trading TWS session is connected from a different IP address", errors.SessionConflict),
        (162, f"{HMDS}something new", errors.FeedError),
        (200, "No security definition has been found for the request", errors.UnknownContract),
        (321, "Error validating request", errors.UsageError),
        (10314, "End Date/Time: invalid", errors.UsageError),
        (10339, "Setting end date/time for continuous future security type is not allowed.", errors.UsageError),
        *((code, "not subscribed", errors.NotEntitled) for code in (354, 10089, 10090, 10167, 10168, 10189)),
        (10197, "No market data during competing live session", errors.SessionConflict),
        (100, "Max rate of messages per second has been exceeded", errors.PacingViolation),
        *((code, "Max number", errors.CapacityExceeded) for code in (101, 309, 10190)),
        (420, "Invalid Real-time Query: Historical data request pacing violation", errors.PacingViolation),
        (420, "Invalid Real-time Query:No market data permissions for CME FUT", errors.NotEntitled),
        *((code, "no connection", errors.ConnectionLost) for code in (326, 502, 504, 10182)),
        (99_999, "a code of tomorrow", errors.FeedError),
    ],
)
def test_a_code_and_its_text_become_one_of_our_errors(code: int, text: str, kind: type[Exception]) -> None:
    error = error_for(code, text, "bars")
    assert type(error) is kind
    assert text in str(error)
    assert str(code) in str(error)
    assert is_refusal(code)


@pytest.mark.parametrize("code", [*FARMS, 2174, 366, 300, 10225])
def test_news_of_farms_and_answers_to_a_cancel_end_no_request(code: int) -> None:
    assert not is_refusal(code)
