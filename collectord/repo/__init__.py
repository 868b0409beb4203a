"""Files of a repo that stand beside its archives: Beads, the event log, the universe registry."""
