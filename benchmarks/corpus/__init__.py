"""Walks the migrations of real projects: at every revision up, rolled back by this package, compared, and up again."""
