"""Nobody pays for a fleet who has none: the base install and the daemon import nothing of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = "{'fsspec', 's3fs', 'dask', 'distributed', 'zstandard', 'pyarrow', 'pandas', 'collectord.fleet'}"


@pytest.mark.parametrize(
    "statement",
    [
        "import collectord.daemon.run",
        "import collectord.daemon.fleet",
        "import collectord.cli.fleet",
        "from collectord.cli.main import _run; _run(['--help'])",
        "from collectord.cli.main import _run; _run(['fleet', '--help'])",
        "from collectord.cli.main import _run; _run(['fleet', 'export', '--help'])",
        "import collectord.status.doctor, collectord.audit.report, collectord.repair.recover",
    ],
)
def test_nothing_of_a_fleet_is_imported_without_one(statement: str) -> None:
    code = f"{statement}\nimport sys\nfound = {HEAVY} & set(sys.modules)\nassert not found, found"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_the_extra_the_command_says_what_to_install() -> None:
    code = (
        "import sys\n"
        "for name in ('fsspec', 'zstandard', 'pyarrow', 'distributed', 'dask'): sys.modules[name] = None\n"
        "from collectord.cli.main import _run\n"
        "sys.exit(_run(['fleet', 'list', '--url', '/nowhere']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, "the extra `fleet`, which is not installed" in done.stderr) == (1, True), (
        done.stderr
    )
