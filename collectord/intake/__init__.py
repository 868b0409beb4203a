"""A settled archive becomes an outcome: indexed, unchanged, partial, quarantined or ignored."""
