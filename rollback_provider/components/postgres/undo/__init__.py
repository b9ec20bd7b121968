"""Undoing a rollback: what is kept before it, what it has done, and the rows as they were before it."""
