"""Everything known about the Cyntra kernel, and nothing of ours: shapes, semantics, dataset v1. Pure."""
