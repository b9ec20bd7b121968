"""The migration tool of one database, and whether it and the database agree on where they stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg import sql

from rollback_provider.clients.migration_tools import TOOLS, MigrationTool, parse_tool
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.view import View, schemas_of
from rollback_provider.core.component import ConnectionResolver
from rollback_provider.core.errors import ConfigurationError, RollbackError
from rollback_provider.core.model import ComponentSpec, ComponentState
from rollback_provider.core.verification import Check, CheckStatus


def tool_of(spec: ComponentSpec, connections: ConnectionResolver) -> MigrationTool | None:
    """The tool that a component names, if it names one."""
    if "migration_tool" not in spec.options or spec.connection is None:
        return None
    options = parse_tool(spec.options["migration_tool"], spec.name)
    return TOOLS[options.tool](spec.name, options, connections(spec.connection))


def required_tool(spec: ComponentSpec, connections: ConnectionResolver) -> MigrationTool:
    """The tool that a component names. Raises ConfigurationError where it names none."""
    tool = tool_of(spec, connections)
    if tool is None:
        raise ConfigurationError(
            "It names no migration tool that could downgrade it",
            component=spec.name,
            next_step="Generate without the downgrade",
        )
    return tool


def history(session: Session, tool: MigrationTool) -> tuple[str, ...]:
    """The versions that the tool's history table holds, sorted; none where there is no such table."""
    schema, _, name = tool.history.partition(".")
    table = sql.Identifier(schema, name)
    row = session.execute("select to_regclass(%s) is not null", [table.as_string()]).fetchone()
    if not (row and row[0]):
        return ()
    query = sql.SQL("select ({})::text from {}").format(sql.SQL(tool.version), table)
    return tuple(sorted(version for (version,) in session.execute(query).fetchall()))


def agreed(session: Session, tool: MigrationTool, spec: ComponentSpec) -> tuple[str, ...]:
    """The versions that are in effect, by the tool and by its history table. Raises ConfigurationError where they differ."""
    schemas = schemas_of(spec)
    if schemas is not None and tool.history.partition(".")[0] not in schemas:
        raise ConfigurationError(
            f"{tool.name} keeps its history in {tool.history}, which is in none of the component's `schemas`",
            component=spec.name,
            next_step="Add its schema",
        )
    said, found = tool.applied(), history(session, tool)
    if said != found:
        raise ConfigurationError(
            f"{tool.name} says that {named(said)} is in effect; its history table {tool.history} in this database says {named(found)}",
            component=spec.name,
            next_step=f"Let {tool.directory} hold the migrations that were run, and speak to the component's database",
        )
    return found


def with_versions(state: ComponentState, view: View, connections: ConnectionResolver) -> ComponentState:
    """A snapshot's state with what the tool says, where the component names one."""
    tool = tool_of(view.spec, connections)
    if tool is None:
        return state
    versions = agreed(view.session, tool, view.spec)
    return state.model_copy(update={"payload": state.payload | {"versions": [*versions]}})


def tool_checks(view: View, snapshot: ComponentState, connections: ConnectionResolver) -> Iterator[Check]:
    """Whether tool and history table say that the snapshot's versions are in effect, so that the next upgrade begins there."""
    tool, captured = tool_of(view.spec, connections), snapshot.payload.get("versions")
    if tool is None or captured is None:
        return
    versions, found, said = tuple(captured), history(view.session, tool), None
    detail = f"{tool.name} and its history table agree"
    try:
        said = tool.applied()
    except RollbackError as error:
        detail = error.what
    wrong = [
        f"{who} says {named(each)}"
        for who, each in ((tool.history, found), (tool.name, said))
        if each is not None and each != versions
    ]
    unknown = CheckStatus.PASSED if said is not None else CheckStatus.UNKNOWN
    yield Check(
        component=view.spec.name,
        name="migration tool",
        scope=tool.history,
        status=CheckStatus.FAILED if wrong else unknown,
        expected=named(versions),
        actual=named(found),
        detail=f"{len(wrong)} differences" if wrong else detail,
        differences=tuple(wrong),
    )


def named(versions: Sequence[str]) -> str:
    """Versions, for people: of many the last one."""
    if not versions:
        return "nothing"
    return ", ".join(versions) if len(versions) < 4 else f"{versions[-1]} (the last of {len(versions)})"
