"""One Chromium for the tests of a file; without it they are skipped, and say so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.chromium import BROWSER, DRIVER, chromium


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if not (BROWSER and DRIVER):
        pytest.skip("no Chromium: `apt-get install chromium chromium-driver` brings it; the page is untested")
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver
