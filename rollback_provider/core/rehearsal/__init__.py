"""Rehearsal: a migration and its rollback tried out on a copy, beside a writer whose every write is accounted for."""
