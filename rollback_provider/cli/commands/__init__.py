"""The commands. Each takes a :class:`~rollback_provider.cli.session.Session` and returns an exit code."""
