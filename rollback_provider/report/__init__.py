"""Reports of a rollback: pure functions from its record (or plan) to JSON, Markdown, HTML and the terminal.

Nothing here reads a clock, a file of the user's, or the store: the same record gives the same report.
"""
