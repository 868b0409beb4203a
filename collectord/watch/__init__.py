"""Notices what stirs among the archives: file events as hints, a rescan timer for correctness."""

from __future__ import annotations

from collectord.watch.dirty import Dirty, Wakeup, WatchEvent, WatchNote
from collectord.watch.root_identity import RootIdentity
from collectord.watch.watcher import Watcher, WatchMode

__all__ = ["Dirty", "RootIdentity", "Wakeup", "WatchEvent", "WatchMode", "WatchNote", "Watcher"]
