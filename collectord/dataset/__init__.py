"""Datasets: which runs become rows, what a row holds, and how a snapshot is published and verified."""
