"""Specifications drawn as SVG by vl-convert: Vega itself, in this process, without network or browser."""

from __future__ import annotations

import re
from typing import Any

from collectord.errors import CollectordError

_VEGA_LITE = "5.20"
_INNER = re.compile(r' (?:role|aria-[a-z]+)="[^"]*"')
_ID = re.compile(r'(\bid="|url\(#)')
_OPENING = re.compile(r"<svg [^>]*>")
_SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


class ReportMissing(CollectordError):
    """The page wants the extra `report`."""


def require_drawing() -> None:
    """Raise ReportMissing where vl-convert is not installed."""
    try:
        import vl_convert  # noqa: F401
    except ImportError:
        raise ReportMissing(
            "the HTML page wants the extra `report`, which is not installed: "
            "pip install 'collectord[report]'; the terminal and --json work without it"
        ) from None


def draw(spec: dict[str, Any], label: str, mark: str) -> str:
    """The chart as one inline SVG that is an image named `label`; `mark` keeps its ids apart from others'.

    What stands in it is escaped by Vega; its inner roles are taken out, because a table beside it tells a
    screen reader more.
    """
    import vl_convert

    svg = str(vl_convert.vegalite_to_svg(spec, vl_version=_VEGA_LITE))
    found = _SIZE.search(svg)
    width, height = (found[1], found[2]) if found else ("0", "0")
    inner = _ID.sub(rf"\g<1>{mark}-", _INNER.sub("", svg[_OPENING.match(svg).end() :]))  # type: ignore[union-attr]
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" {size}>{inner}'
