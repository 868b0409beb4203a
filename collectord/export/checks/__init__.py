"""What a published directory is held against: its own sums and documents, its rows, the index."""
