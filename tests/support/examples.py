"""How many examples a property test draws: a quarter in the everyday run, all of them in the whole one."""

from __future__ import annotations

import os

WHOLE = os.environ.get("TEST_EXAMPLES") == "all"


def examples(whole: int) -> int:
    """Of so many in the whole run (`./dev test --all`)."""
    return whole if WHOLE else max(5, whole // 4)
