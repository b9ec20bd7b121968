"""The kinds of checks that a user can declare: one module each, behind :class:`rollback_provider.core.checks.DeclaredCheck`."""
