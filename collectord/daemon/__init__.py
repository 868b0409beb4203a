"""The always-on service: one thread that owns the index, woken by events, timers and signals."""
