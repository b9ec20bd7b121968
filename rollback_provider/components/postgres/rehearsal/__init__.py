"""Rehearsal of a PostgreSQL component: copies of a snapshot, the user's migration on them, a writer, faults."""
