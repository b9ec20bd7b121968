"""Measurements: a corpus of migrations that nobody here wrote, and speed against PostgreSQL's own tools."""
