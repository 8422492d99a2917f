"""TWS error codes and their texts (TWS API, message codes; texts as gateways send them)."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[int, str]] = {
    100: "Max rate of messages per second has been exceeded:max={0} rec={1} (1)",
    101: "Max number of tickers has been reached",
    102: "Duplicate ticker ID",
    162: "Historical Market Data Service error message:{0}",
    200: "{0}",
    300: "Can't find EId with tickerId:{0}",
    309: "Max number ({0}) of market depth requests has been reached",
    320: "Error reading request.{0}",
    321: "Error validating request.-'bZ' : cause - {0}",
    322: "Error processing request.-'bZ' : cause - Duplicate ticker id",
    326: "Unable to connect as the client id is already in use. Retry with a unique client id.",
    354: "Requested market data is not subscribed.Check API status by selecting the Account menu then under Management choose Market Data Subscription Manager",
    366: "No historical data query found for ticker id:{0}",
    420: "Invalid Real-time Query:No market data permissions for {0}",
    1100: "Connectivity between IBKR and Trader Workstation has been lost.",
    1101: "Connectivity between IBKR and Trader Workstation has been restored - data lost.",
    1102: "Connectivity between IBKR and Trader Workstation has been restored - data maintained. All data farms are connected: usfuture; ushmds; secdefil.",
    2103: "Market data farm connection is broken:usfuture",
    2104: "Market data farm connection is OK:usfuture",
    2105: "HMDS data farm connection is broken:ushmds",
    2106: "HMDS data farm connection is OK:ushmds",
    2110: "Connectivity between Trader Workstation and server is broken. It will be restored automatically.",
    2158: "Sec-def data farm connection is OK:secdefil",
    2174: "Warning: You submitted request with date-time attributes without explicit time zone. Please switch to use yyyymmdd-hh:mm:ss in UTC or use instrument"
    " time zone, like US/Eastern. Implied time zone functionality will be removed in the next API release",
    10182: "Failed to request live updates (disconnected).",
    10189: "Failed to request tick-by-tick data.No market data permissions for {0}",
    10190: "Max number of tick-by-tick requests has been reached.",
    10197: "No market data during competing live session",
    10225: "Bust event occurred, current subscription is deactivated. Please resubscribe real-time bars immediately.",
    10314: "End Date/Time: The date, time, or time-zone entered is invalid. The correct format is yyyymmdd hh:mm:ss xx/xxxx where yyyymmdd and xx/xxxx are"
    " optional. E.g.: 20031126 15:59:00 US/Eastern",
    10339: "Setting end date/time for continuous future security type is not allowed.",
}

NO_DEFINITION: Final = "No security definition has been found for the request"
AMBIGUOUS: Final = "The contract description specified for {} is ambiguous; you must specify the multiplier or trading class."
PACING: Final = "Historical data request pacing violation"
NO_DATA: Final = "HMDS query returned no data: {}@{} {}"
NO_PERMISSIONS: Final = "No market data permissions for {}"
CANCELLED: Final = "API historical data query cancelled: {}"
READ_ONLY: Final = "The API interface is currently in Read-Only mode."


def told(code: int, *words: object) -> str:
    """The text of a code.

    >>> told(309, 3)
    'Max number (3) of market depth requests has been reached'
    """
    return TEXTS[code].format(*words)


class Refused(Exception):
    """A request that is answered with an error. `is_final`: the connection is closed behind it."""

    def __init__(self, code: int, *words: object, is_final: bool = False) -> None:
        super().__init__(code, told(code, *words))
        self.code, self.text, self.is_final = code, told(code, *words), is_final
