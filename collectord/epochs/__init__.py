"""The environment of runs: its fingerprint, how it changes, and which one a run had."""
