"""Insertions that refer to each other in a circle, or to themselves: together, with their foreign keys checked at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from psycopg import sql

from rollback_provider.components.postgres.applying.bench import BREAKS, Bench
from rollback_provider.components.postgres.applying.triggers import TriggersOff
from rollback_provider.components.postgres.applying.writing import RowWriter
from rollback_provider.components.postgres.merge import Merge, output
from rollback_provider.components.postgres.rows import field, key_of
from rollback_provider.components.postgres.tables import Table, name_of
from rollback_provider.core.base import Json

Part = tuple[Json, Merge, list[bytes]]
"""An insertion, its SQL, and its lines."""


class Circle:
    """Inserts all rows of several tables in one transaction.

    :param write: inserts the rows of one part
    :param constraints: the foreign keys that make the circle, by table and name
    """

    def __init__(
        self, bench: Bench, write: Callable[[Json, Merge, list[bytes]], None], constraints: Sequence[Json]
    ) -> None:
        self._bench = bench
        self._session = bench.session
        self._write = write
        self._constraints = constraints

    def run(self, parts: Sequence[Part]) -> None:
        """Inserts the rows; those that refer to what an application has taken away are left, and the others come back."""
        left: list[list[bytes]] = [[] for _ in parts]
        searching = False
        while any(lines for *_, lines in parts):
            try:
                with self._bench.attempt(_OrphansError, *BREAKS):
                    self._insert(parts, searching=searching)
                break
            except _OrphansError as error:
                left = [[*some, *orphans] for some, orphans in zip(left, error.lines, strict=True)]
                parts = [
                    (action, merge, _without(lines, orphans))
                    for (action, merge, lines), orphans in zip(parts, error.lines, strict=True)
                ]
            except BREAKS:
                if searching:
                    for part in parts:  # row by row, each checked at once
                        self._write(*part)
                    break
                searching = True  # reads whole tables: only where it is needed
        for (action, merge, _), lines in zip(parts, left, strict=True):
            RowWriter(self._bench, action.get("turn")).leave(merge, "insert", lines)

    def _insert(self, parts: Sequence[Part], *, searching: bool) -> None:
        session = self._session
        with ExitStack() as triggers:
            # All at once: to enable a trigger again, constraints have to be checked first.
            for table in {merge.table.oid: merge.table for _, merge, _ in parts}.values():
                triggers.enter_context(TriggersOff(session, table))
            altered = []
            alter = sql.SQL("alter table {} alter constraint {} {}")
            for constraint in self._constraints:
                table_name = sql.Identifier(constraint["schema"], constraint["name"])
                name = sql.Identifier(constraint["constraint"])
                row = session.execute(
                    "select condeferrable, condeferred from pg_constraint"
                    " where conrelid = %s::regclass and conname = %s and conparentid = 0",
                    [table_name.as_string(session), constraint["constraint"]],
                ).fetchone()
                if row:
                    was = ("" if row[0] else "not ") + "deferrable initially " + ("deferred" if row[1] else "immediate")
                    altered.append((table_name, name, was))
                    session.execute(alter.format(table_name, name, sql.SQL("deferrable initially deferred")))
            for part in parts:
                self._write(*part)
            orphans = [self._orphans(merge, lines) for _, merge, lines in parts] if searching else []
            if any(orphans):
                raise _OrphansError(orphans)
            session.execute("set constraints all immediate")
            for table_name, name, was in altered:
                session.execute(alter.format(table_name, name, sql.SQL(was)))

    def _orphans(self, merge: Merge, lines: Sequence[bytes]) -> list[bytes]:
        """Lines of rows that refer to what is not there."""
        found: set[bytes] = set()
        for parent, pairs in self._references(merge.table):
            query = sql.SQL("select {} from only {} t where {} and not exists (select from {} p where {})").format(
                sql.SQL(", ").join(output(sql.Identifier("t", column.name)) for column in merge.key),
                name_of(merge.table),
                sql.SQL(" and ").join(sql.SQL("{} is not null").format(sql.Identifier("t", mine)) for mine, _ in pairs),
                sql.Identifier(*parent),
                sql.SQL(" and ").join(
                    sql.SQL("{} = {}").format(sql.Identifier("p", theirs), sql.Identifier("t", mine))
                    for mine, theirs in pairs
                ),
            )
            found |= {b"\t".join(map(field, row)) for row in self._session.execute(query)}
        return [line for line in lines if key_of(line, len(merge.key)) in found] if found else []

    def _references(self, table: Table) -> list[tuple[tuple[str, str], list[tuple[str, str]]]]:
        """The table's foreign keys as they are now: schema and name of the parent, and pairs of columns, its own first."""
        rows = self._session.execute(
            "select n.nspname, c.relname, array(select array[a.attname::text, b.attname::text]"
            " from unnest(k.conkey, k.confkey) with ordinality x(mine, theirs, i)"
            " join pg_attribute a on (a.attrelid, a.attnum) = (k.conrelid, x.mine)"
            " join pg_attribute b on (b.attrelid, b.attnum) = (k.confrelid, x.theirs) order by i)"
            " from pg_constraint k join pg_class c on c.oid = k.confrelid join pg_namespace n on n.oid = c.relnamespace"
            " where k.contype = 'f' and k.conrelid = %s::regclass and c.relkind in ('r', 'p')",
            [name_of(table).as_string(self._session)],
        ).fetchall()
        return [((schema, name), [(mine, theirs) for mine, theirs in pairs]) for schema, name, pairs in rows]


class _OrphansError(Exception):
    """Rows refer to what is not there; their lines, part by part."""

    def __init__(self, lines: list[list[bytes]]) -> None:
        super().__init__("rows refer to what is not there")
        self.lines = lines


def _without(lines: Sequence[bytes], others: Sequence[bytes]) -> list[bytes]:
    gone = set(others)
    return [line for line in lines if line not in gone]
