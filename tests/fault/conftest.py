"""Processes that fail, are killed or stopped: started warm, on state of their own, gone with the test."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import shim
from tests.support.warm import Nursery


@pytest.fixture(scope="session")
def shim_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes writes fail."""
    if reason := shim.why_not():
        pytest.skip(f"SKIPPED: no write can be made to fail here, failing disks stay unproven: {reason}")
    return shim.build(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="session")
def failing_nursery(shim_library: Path) -> Iterator[Nursery]:
    """Starts processes whose writes can be made to fail."""
    with Nursery({"LD_PRELOAD": str(shim_library)}) as nursery:
        yield nursery


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Chance that is the same in every run; COLLECTORD_TEST_SEED gives another one."""
    seed = f"{_SEED} {request.node.name}"
    print(f"seed: COLLECTORD_TEST_SEED={_SEED}")
    return random.Random(seed)


# Read at import: the tests' own environment is cleared of COLLECTORD_* before each of them.
_SEED = os.environ.get("COLLECTORD_TEST_SEED", "1")


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Starts daemons without the wait for their imports."""
    with Nursery() as nursery:
        yield nursery
