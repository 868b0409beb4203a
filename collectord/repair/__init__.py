"""Deriving everything again from stored bytes: to check an index, to rebuild it, to bring one back."""
