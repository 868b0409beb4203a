"""Ages on the command line: a number and a unit."""

from __future__ import annotations

import re

from collectord.errors import UsageError

_AGE = re.compile(r"([0-9]{1,12})([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def age_ms(text: str, option: str) -> int:
    """Milliseconds of an age such as 7d; raises UsageError naming the option."""
    found = _AGE.fullmatch(text)
    if found is None:
        raise UsageError(f"{option}: '{text}' is not an age; write a number and s, m, h, d or w, such as 7d")
    return int(found[1]) * _UNITS[found[2]] * 1000
