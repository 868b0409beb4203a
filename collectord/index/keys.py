"""Digests that rows are told apart by."""

from __future__ import annotations

from hashlib import sha256


def text_digest(text: str) -> str:
    """sha256 of an ASCII text."""
    return sha256(text.encode("ascii")).hexdigest()
