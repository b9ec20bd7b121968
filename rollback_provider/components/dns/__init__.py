"""Names: where clients look for a service."""
