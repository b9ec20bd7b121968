"""Soft drops as operations of Alembic: ``import rollback_provider.alembic`` in a migration or in ``env.py`` registers them.

::

    op.soft_drop_column("orders", "legacy_code")
    op.soft_drop_table("promotions", schema="shop")

They are :func:`~rollback_provider.components.postgres.soft_drop.soft_drop_column` and ``soft_drop_table`` in the migration's own
transaction, with any driver. The setting ``rollback.snapshot`` of the session names the snapshot to which they belong.
"""

from __future__ import annotations

from typing import Any

from alembic.operations import MigrateOperation, Operations
from alembic.util import CommandError
from sqlalchemy.engine import Connection

from rollback_provider.components.postgres.soft_drop import drop_column, drop_table
from rollback_provider.components.postgres.soft_drop.statements import Execute


@Operations.register_operation("soft_drop_column")
class SoftDropColumn(MigrateOperation):
    """Renames a column instead of dropping it."""

    def __init__(self, table_name: str, column_name: str, schema: str | None = None) -> None:
        self.table_name = table_name
        self.column_name = column_name
        self.schema = schema

    @classmethod
    def soft_drop_column(
        cls, operations: Operations, table_name: str, column_name: str, *, schema: str | None = None
    ) -> str:
        """Does to applications what ``op.drop_column`` does, and keeps the values; gives the column's reserved name."""
        return str(operations.invoke(cls(table_name, column_name, schema)))


@Operations.register_operation("soft_drop_table")
class SoftDropTable(MigrateOperation):
    """Renames a table instead of dropping it."""

    def __init__(self, table_name: str, schema: str | None = None) -> None:
        self.table_name = table_name
        self.schema = schema

    @classmethod
    def soft_drop_table(cls, operations: Operations, table_name: str, *, schema: str | None = None) -> str:
        """Does to applications what ``op.drop_table`` does, and keeps the rows; gives the table's reserved name."""
        return str(operations.invoke(cls(table_name, schema)))


@Operations.implementation_for(SoftDropColumn)
def _soft_drop_column(operations: Operations, operation: SoftDropColumn) -> str:
    return drop_column(_execute(operations), operation.table_name, operation.column_name, operation.schema)


@Operations.implementation_for(SoftDropTable)
def _soft_drop_table(operations: Operations, operation: SoftDropTable) -> str:
    return drop_table(_execute(operations), operation.table_name, operation.schema)


def _execute(operations: Operations) -> Execute:
    """Executes through Alembic's connection. Text goes to the driver as it is: its signs of percent are no parameters."""
    context = operations.migration_context
    if context.as_sql:
        raise CommandError("A soft drop looks at the database, so it cannot be written out with --sql")
    if context.dialect.name != "postgresql":
        raise CommandError(f"A soft drop needs PostgreSQL, not {context.dialect.name}")
    connection: Connection = operations.get_bind()

    def execute(statement: str) -> list[tuple[Any, ...]]:
        result = connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        return [tuple(row) for row in result] if result.returns_rows else []

    return execute
