"""Configuration: what services read when they start, or while they run."""
