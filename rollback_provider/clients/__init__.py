"""How components and probes reach their systems: programs, HTTP, PostgreSQL. Failures become the errors of core."""
