"""`python -m collectord`: how the service units start it with a given interpreter."""

from __future__ import annotations

from collectord.cli import main

if __name__ == "__main__":
    main()
