"""Runs a migration's SQL with its drops of tables and columns turned into soft drops. Needs the extra ``sql`` (pglast)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg
from pglast import ast, parse_sql
from pglast.enums import AlterTableType, DropBehavior, ObjectType
from pglast.parser import ParseError
from pglast.stream import RawStream
from psycopg.rows import TupleRow

from rollback_provider.components.postgres.catalog.sql_text import ident, literal
from rollback_provider.components.postgres.soft_drop.columns import drop_column
from rollback_provider.components.postgres.soft_drop.statements import Execute, session_execute
from rollback_provider.components.postgres.soft_drop.tables import drop_table
from rollback_provider.core.errors import ConfigurationError, UnsupportedError

_CASCADE = "CASCADE: what else it takes along is not known"
_DATABASE = "a name with that of a database"


@dataclass
class ScriptReport:
    """What became of the drops in a script.

    :param soft_dropped: what was soft-dropped, by its own name
    :param left: statements that may have dropped tables or columns for good, each with the reason why it was run as it is
    """

    soft_dropped: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def run_script(connection: psycopg.Connection[TupleRow], script: str) -> ScriptReport:
    """Runs SQL statement by statement, as they are but for drops of tables and columns, which become soft drops.

    A drop that cannot be turned into a soft one with the same effect is run as it is, and reported. The script is SQL alone, without
    commands of psql. It runs in the transaction that is open; where none is, each statement in its own.

    Raises the driver's errors, and ConfigurationError, before anything is run, for what is no SQL.
    """
    try:
        statements: tuple[Any, ...] = parse_sql(script)
    except ParseError as error:
        raise ConfigurationError(f"The script is not SQL that PostgreSQL understands: {error}") from error
    report = ScriptReport()
    execute = session_execute(connection)
    for each in statements:
        end = each.stmt_location + each.stmt_len if each.stmt_len else len(script)
        text = script[each.stmt_location : end].strip()
        try:
            with connection.transaction():
                soft = _soft(each.stmt, execute)
                if soft is not None:
                    report.soft_dropped += soft()
        except UnsupportedError as error:
            soft = None
            report.left.append(f"{_short(text)}: {error.what}")
        if soft is None:
            report.left += [f"{_short(text)}: {reason}" for reason in _reasons(each.stmt)]
            execute(text)
    return report


def _soft(statement: Any, execute: Execute) -> Callable[[], list[str]] | None:
    """What does a statement softly; None where it has no drop that can be turned."""
    if any(_reasons(statement)):
        return None
    if isinstance(statement, ast.DropStmt) and statement.removeType == ObjectType.OBJECT_TABLE:
        return partial(_drop_tables, statement, execute)
    if isinstance(statement, ast.AlterTableStmt) and _column_drops(statement):
        return partial(_drop_columns, statement, execute)
    return None


def _reasons(statement: Any) -> Iterator[str]:
    """Why a statement that drops, or may drop, tables or columns is left as it is."""
    match statement:
        case ast.DropStmt():
            if statement.behavior == DropBehavior.DROP_CASCADE:
                yield _CASCADE
            if statement.removeType == ObjectType.OBJECT_TABLE and any(
                len(names) > 2 for names in statement.objects or ()
            ):
                yield _DATABASE
        case ast.DropOwnedStmt():
            yield "it drops whatever a role owns"
        case ast.DoStmt() if "drop" in RawStream()(statement).lower():
            yield "a DO block is not looked into"
        case ast.AlterTableStmt() if _column_drops(statement):
            yield from _column_reasons(statement)


def _column_reasons(statement: Any) -> Iterator[str]:
    if any(command.behavior == DropBehavior.DROP_CASCADE for command in statement.cmds):
        yield _CASCADE
    if statement.objtype != ObjectType.OBJECT_TABLE:
        yield "it alters no table"
    if not statement.relation.inh:
        yield "ONLY: children keep the column"
    if statement.relation.catalogname:
        yield _DATABASE
    if parse_sql(RawStream()(statement))[0].stmt != statement:
        yield "what it does besides cannot be told apart from the drop"


def _column_drops(statement: Any) -> list[Any]:
    return [command for command in statement.cmds if command.subtype == AlterTableType.AT_DropColumn]


def _drop_tables(statement: Any, execute: Execute) -> list[str]:
    """Each table, those that others refer to after these."""
    waiting = [tuple(name.sval for name in names) for names in statement.objects]
    if statement.missing_ok:
        waiting = [names for names in waiting if _exists(execute, names)]
    dropped: list[str] = []
    while waiting:
        names = _drop_one(execute, waiting)
        waiting.remove(names)
        dropped.append(".".join(names))
    return dropped


def _drop_one(execute: Execute, waiting: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Drops the first table that nothing else needs any more. Raises what stands in the way of the last one where that is none."""
    for names in waiting:
        execute("savepoint soft_drop_one")
        try:
            drop_table(execute, names[-1], *names[:-1])
        except psycopg.errors.DependentObjectsStillExist:
            if names == waiting[-1]:
                raise
            execute("rollback to savepoint soft_drop_one")
        else:
            break
    execute("release savepoint soft_drop_one")
    return names


def _drop_columns(statement: Any, execute: Execute) -> list[str]:
    """The columns first, as PostgreSQL does, then what the statement does besides."""
    relation = statement.relation
    names = tuple(filter(None, (relation.schemaname, relation.relname)))
    if statement.missing_ok and not _exists(execute, names):
        return []
    dropped = []
    for command in _column_drops(statement):
        if not (command.missing_ok and not _has_column(execute, names, command.name)):
            drop_column(execute, relation.relname, command.name, relation.schemaname)
            dropped.append(".".join((*names, command.name)))
    if rest := tuple(command for command in statement.cmds if command.subtype != AlterTableType.AT_DropColumn):
        statement.cmds = rest
        execute(RawStream()(statement))
    return dropped


def _exists(execute: Execute, names: Sequence[str]) -> bool:
    ((found,),) = execute(f"select to_regclass({literal(ident(*names))}) is not null")
    return bool(found)


def _has_column(execute: Execute, names: Sequence[str], column: str) -> bool:
    return bool(
        execute(
            f"select true from pg_attribute where attrelid = to_regclass({literal(ident(*names))}) and attname = {literal(column)}"
            " and attnum > 0 and not attisdropped"
        )
    )


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 100 else f"{flat[:99]}…"
