"""The index: one SQLite file, its schema, and the only code that speaks SQL."""
