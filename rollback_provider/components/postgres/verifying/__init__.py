"""Measures whether a database is back: schema, every row, what the ledger promised, and who wrote what differs."""
