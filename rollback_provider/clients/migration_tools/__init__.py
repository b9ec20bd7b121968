"""Schema migration tools, each run by its own command line."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from rollback_provider.clients.migration_tools.alembic import Alembic
from rollback_provider.clients.migration_tools.base import MigrationTool, ToolOptions
from rollback_provider.clients.migration_tools.dbmate import Dbmate
from rollback_provider.clients.migration_tools.django import Django
from rollback_provider.clients.migration_tools.liquibase import Liquibase
from rollback_provider.clients.migration_tools.sqitch import Sqitch
from rollback_provider.core.errors import ConfigurationError

TOOLS: dict[str, type[MigrationTool]] = {
    "alembic": Alembic,
    "dbmate": Dbmate,
    "django": Django,
    "liquibase": Liquibase,
    "sqitch": Sqitch,
}

__all__ = ["TOOLS", "MigrationTool", "ToolOptions", "parse_tool"]


def parse_tool(value: Any, component: str) -> ToolOptions:
    """Options as a user writes them. Raises ConfigurationError that names each one that is missing, unknown or wrong."""
    try:
        options = ToolOptions.model_validate(value)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"`migration_tool` is wrong: {problems}", component=component) from None
    if options.tool not in TOOLS:
        raise ConfigurationError(
            f"Unknown migration tool {options.tool!r}",
            component=component,
            next_step=f"Use one of: {', '.join(sorted(TOOLS))}",
        )
    return options
