"""Applying a step: transactions and their notes, DDL, rows."""
