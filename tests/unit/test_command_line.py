"""Which processes are kernels, and what of their command line changes labels."""

from __future__ import annotations

import pytest

from collectord.kernel.command_line import KernelCommand, kernel_command

KERNELS = {
    "cyntra run --watch": KernelCommand(),
    "/home/me/.venv/bin/cyntra run": KernelCommand(),
    "/usr/bin/python3.11 /home/me/.venv/bin/cyntra run --watch": KernelCommand(),
    "python -m cyntra.cli run --watch": KernelCommand(),
    "python3 -u -X dev -W ignore -m cyntra run": KernelCommand(),
    "/bin/sh /opt/bin/cyntra run --once": KernelCommand(),
    "pypy3 bin/cyntra run": KernelCommand(),
    "cyntra -c .cyntra/other.yaml run --watch": KernelCommand(config=".cyntra/other.yaml"),
    "cyntra --config other.yaml run": KernelCommand(config="other.yaml"),
    "cyntra --config=other.yaml run": KernelCommand(config="other.yaml"),
    "cyntra -cother.yaml run": KernelCommand(config="other.yaml"),
    "cyntra -c a.yaml -c b.yaml run": KernelCommand(config="b.yaml"),
    "cyntra run --watch -c other.yaml": KernelCommand(config="other.yaml"),
    "cyntra run --universe lab": KernelCommand(universe="lab"),
    "cyntra run --universe=lab --speculate": KernelCommand(universe="lab", speculate=True),
    "cyntra run --max-concurrent 2": KernelCommand(max_concurrent=2),
    "cyntra run --max-concurrent many": KernelCommand(),
    "cyntra run --issue --speculate": KernelCommand(speculate=True),
    "cyntra run --universe": KernelCommand(),
}
OTHERS = [
    "",
    "cyntra",
    "cyntra status",
    "cyntra -c run",
    "cyntra planner run",
    "cyntra run --dry-run",
    "cyntra run --help",
    "vim cyntra run",
    "grep -r cyntra run",
    "uv run cyntra run",
    "sudo -u me cyntra run",
    "python -c cyntra run",
    "python -m cyntra.workcell.cli run",
    "python -m",
    "python3 tools/cyntra.py run",
    "python",
    "collectord run",
]


@pytest.mark.parametrize("line", KERNELS)
def test_a_kernel_is_told_by_its_command_line(line: str) -> None:
    assert kernel_command(line.split()) == KERNELS[line]


@pytest.mark.parametrize("line", OTHERS)
def test_any_other_process_is_none(line: str) -> None:
    assert kernel_command(line.split()) is None


def test_a_command_in_one_word_of_a_shell_is_no_kernel_but_its_child_is() -> None:
    assert kernel_command(["sh", "-c", "cyntra run --watch"]) is None
