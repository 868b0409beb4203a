"""One ingest that says of each archive what became of it as soon as it knows: `name outcome` a line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from collectord.config import Settings, load
from collectord.errors import CollectordError
from collectord.intake.ingest import ingest
from collectord.model import Outcome


def settings_of(repo: Path, batch: int) -> Settings:
    """The settings of such an ingest."""
    given = {"settle.min_age": 0, "ingest.batch": batch}
    return load(repo=repo, config=None, overrides=given, environ={"HOME": "/nonexistent"}, cwd=repo)


def say(outcome: Outcome) -> None:
    """In one write that nothing holds back."""
    os.write(1, f"{outcome.name} {outcome.kind}\n".encode())


def main() -> None:
    """`REPO BATCH`: exits as collectord does."""
    repo, batch = Path(sys.argv[1]), int(sys.argv[2])
    try:
        ingest(settings_of(repo, batch), report=lambda outcome, _total: say(outcome))
    except CollectordError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
