"""Releases of applications: which one is current, and what runs of it."""
