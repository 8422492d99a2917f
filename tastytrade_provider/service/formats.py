"""A page of bars in the form a request accepts: JSON, CSV, or an Arrow stream."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any, Final

from fastapi import Response

from .past import Page, plain
from .security import Denied
from .wire import encode

JSON: Final = "application/json"
CSV: Final = "text/csv"
ARROW: Final = "application/vnd.apache.arrow.stream"


def chosen(accept: str) -> str:
    """The media type for an Accept header: the first of ours that it names with the most weight. Denied(406) where it names none.

    >>> chosen("text/html, */*;q=0.5"), chosen("text/csv"), chosen("")
    ('application/json', 'text/csv', 'application/json')
    """
    best: tuple[float, str] | None = None
    for part in accept.split(",") if accept.strip() else ["*/*"]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((_weight(each[2:]) for each in parameters if each.startswith("q=")), 1.0)
        fits = next((kind for kind in (JSON, CSV, ARROW) if name in (kind, "*/*", kind.partition("/")[0] + "/*")), None)
        if fits is not None and weight > 0 and (best is None or weight > best[0]):
            best = weight, fits
    if best is None:
        raise Denied(406, f"what is accepted here is one of {JSON}, {CSV}, {ARROW}")
    return best[1]


def answer(kind: str, head: dict[str, Any], page: Page, next_url: str | None) -> Response:
    """The response. CSV and Arrow carry the rows alone; where they go on stands in `Link: <...>; rel="next"`."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept"} | ({"Link": f'<{next_url}>; rel="next"'} if next_url else {})
    return Response(_WRITERS[kind](head, page), media_type=kind, headers=headers)


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _json(head: dict[str, Any], page: Page) -> bytes:
    rows = [row if isinstance(row, dict) else row.json for row in page.rows]
    rows = [{name: value for name, value in row.items() if name != "_ns"} if isinstance(row, dict) else row for row in rows]
    return encode({**head, "bars": rows, "next": page.next, "notes": page.notes}).encode()


def _columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _csv(head: dict[str, Any], page: Page) -> bytes:
    rows = [plain(row) for row in page.rows]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _columns(rows), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _arrow(head: dict[str, Any], page: Page) -> bytes:
    try:
        import pyarrow as pa
    except ModuleNotFoundError:
        raise Denied(406, "Arrow needs pyarrow here: pip install 'tastytrade-provider[store]'") from None
    rows = [plain(row) for row in page.rows]
    columns = {name: [_number(row.get(name)) for row in rows] for name in _columns(rows)}
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


_WRITERS: Final[dict[str, Callable[[dict[str, Any], Page], bytes]]] = {JSON: _json, CSV: _csv, ARROW: _arrow}
