"""Two dataset directories beside each other: rows, labels, distributions, environments."""
