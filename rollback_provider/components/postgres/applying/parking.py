"""Rows that hold what each other should get back: values that only one row may have, given on in a ring.

No order of single updates gets them back, and one statement for all breaks the constraint on its way. So in one transaction all of them are
given values that nobody has, and then their own.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from rollback_provider.components.postgres.applying.bench import BREAKS, Bench
from rollback_provider.components.postgres.applying.stage import restage
from rollback_provider.components.postgres.merge import STAGE, Merge, output
from rollback_provider.components.postgres.tables import Column, name_of

_PARKED = sql.Identifier("pg_temp", "rollback_parked")
_NUMBER = "(select coalesce(max({c}), 0) from {t}) + {n}"
_DAYS = "(select coalesce(max({c}), '2000-01-01') from {t} where isfinite({c})) + {n}::int * interval '1 day'"
_FREE = {
    **dict.fromkeys(("int2", "int4", "int8", "numeric", "float4", "float8"), _NUMBER),
    **dict.fromkeys(("date", "timestamp", "timestamptz"), _DAYS),
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "citext"), "left(md5({n}::text || random()), {length})"),
    "uuid": "gen_random_uuid()",
    "bytea": "decode(md5({n}::text || random()), 'hex')",
}
"""By name of the base type, SQL for a value that no row has; `n` numbers the rows."""
_LONGEST = 32
_MOST_MOVED = 1_000_000
"""Rows moved in vain before the rest is listed: where an application holds the end of a long chain, each attempt frees one row."""
_STANDING = "others have what it should have, or lack what it refers to"


class _StandingError(Exception):
    """Something else stands in the way of parked rows; their lines, each with what the server says."""

    def __init__(self, lines: dict[bytes, str]) -> None:
        super().__init__("something else stands in the way")
        self.lines = lines


class Parking:
    """Moves the rows of an `update` stage all at once."""

    def __init__(self, bench: Bench, merge: Merge) -> None:
        self._bench = bench
        self._session = bench.session
        self._merge = merge
        self._table = name_of(merge.table)

    def run(self, lines: list[bytes]) -> dict[bytes, str]:
        """Gives the rows what they should have; gives the lines of those that something else stands in the way of, and what that is."""
        left: dict[bytes, str] = {}
        moved = 0
        while lines:
            moved += len(lines)
            try:
                with self._bench.attempt(_StandingError, *BREAKS, psycopg.DataError):
                    self._move(lines)
            except _StandingError as error:
                left |= error.lines
                lines = [line for line in lines if line not in error.lines]
                if moved > _MOST_MOVED:
                    return left | dict.fromkeys(lines, _STANDING)
            except (*BREAKS, psycopg.DataError) as error:  # the parked values will not do
                return left | dict.fromkeys(lines, str(error.diag.message_primary))
            else:
                break
        return left

    def _move(self, lines: list[bytes]) -> None:
        restage(self._session, lines)
        free = self._free_values()
        if not free:
            raise _StandingError(dict.fromkeys(lines, _STANDING))
        self._session.execute(sql.SQL("drop table if exists {}").format(_PARKED))
        self._session.execute(self._noted())
        self._session.execute(
            sql.SQL("update only {} t set {} from {} p where {}").format(
                self._table, sql.SQL(", ").join(free), _PARKED, self._same()
            )
        )
        failed = self._halve(lines)
        if failed:
            raise _StandingError(failed)

    def _halve(self, lines: list[bytes]) -> dict[bytes, str]:
        """Gives parked rows what they should have; gives the lines of those that cannot have it, and why."""
        restage(self._session, lines)
        self._session.execute("savepoint part")
        try:
            cursor = self._session.execute(self._moved())
        except BREAKS as error:
            self._session.execute("rollback to savepoint part")
            if len(lines) == 1:
                return {lines[0]: str(error.diag.message_primary)}
            middle = len(lines) // 2
            return self._halve(lines[:middle]) | self._halve(lines[middle:])
        self._bench.keep("update", self._merge, cursor)
        self._session.execute("release savepoint part")
        self._bench.tally.count("restored", cursor.rowcount)
        return {}

    def _moved(self) -> sql.Composed:
        """The statement for the rows of the stage; gives key, values before they were parked and values after, as text."""
        columns = self._merge.columns
        sets = [
            sql.SQL("{} = p.{}::{}").format(sql.Identifier(c.name), sql.Identifier(f"o{i}"), sql.SQL(c.type))
            for i, c in enumerate(columns)
        ]
        shown: list[sql.Composable] = [output(sql.Identifier("t", c.name)) for c in self._merge.key]
        shown += [sql.Identifier("p", f"n{i}") for i in range(len(columns))]
        shown += [output(sql.Identifier("t", c.name)) for c in columns]
        return sql.SQL("update only {} t set {} from {} p join {} s on {} where {} returning {}").format(
            self._table,
            sql.SQL(", ").join(sets),
            _PARKED,
            STAGE,
            sql.SQL(" and ").join(sql.SQL(f"p.k{i} = s.k{i}") for i in range(len(self._merge.key))),
            self._same(),
            sql.SQL(", ").join(shown),
        )

    def _noted(self) -> sql.Composed:
        """Each row's key, a number, its values now, and those that it shall have: all for which something is to be done."""
        now = [output(sql.Identifier("t", c.name)) for c in self._merge.columns]
        images = [sql.SQL("{} as n{}").format(value, sql.SQL(str(i))) for i, value in enumerate(now)]
        images += [
            sql.SQL("case when {now} is not distinct from s.n{i} then s.o{i} else {now} end as o{i}").format(
                now=value, i=sql.SQL(str(i))
            )
            for i, value in enumerate(now)
        ]
        changed = sql.SQL(" or ").join(
            sql.SQL("(s.o{i} is distinct from s.n{i} and {now} is not distinct from s.n{i})").format(
                now=value, i=sql.SQL(str(i))
            )
            for i, value in enumerate(now)
        )
        return sql.SQL(
            "create temporary table rollback_parked as select {key}, row_number() over () as number, {images}"
            " from only {t} t join {s} s on {match} where {changed}"
        ).format(
            key=self._merge.key_order,
            images=sql.SQL(", ").join(images),
            t=self._table,
            s=STAGE,
            match=self._merge.match,
            changed=changed,
        )

    def _same(self) -> sql.Composed:
        return sql.SQL(" and ").join(
            sql.SQL("{} = p.{}").format(sql.Identifier("t", c.name), sql.Identifier(f"k{i}"))
            for i, c in enumerate(self._merge.key)
        )

    def _free_values(self) -> list[sql.Composable]:
        """For each column that a unique or exclusion constraint is about, and that has such a value, the assignment of one."""
        rows = self._session.execute(
            "select a.attname, a.attnotnull or bool_or(i.nulls_alike), b.typname, b.typtype::text,"
            " case when b.typname in ('varchar', 'bpchar') and a.atttypmod > 4 then a.atttypmod - 4 end"
            " from pg_attribute a join pg_type y on y.oid = a.atttypid join pg_type b on b.oid = coalesce(nullif(y.typbasetype, 0), y.oid)"
            " join (select indrelid, indkey, coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::bool, false) as nulls_alike from pg_index x"
            " where indisunique or indisexclusion) i on i.indrelid = a.attrelid and a.attnum = any(i.indkey)"
            " where a.attrelid = %s::regclass group by a.attnum, a.attname, a.attnotnull, a.atttypmod, b.typname, b.typtype",
            [self._table.as_string(self._session)],
        ).fetchall()
        found = {name: (firm, base, kind, length) for name, firm, base, kind, length in rows}
        return [
            sql.SQL("{} = {}").format(sql.Identifier(column.name), value)
            for column in self._merge.columns
            if column.name in found and (value := self._free(column, *found[column.name]))
        ]

    def _free(self, column: Column, firm: bool, base: str, kind: str, length: int | None) -> sql.Composable | None:  # noqa: FBT001
        if not firm:
            return sql.SQL("null")
        if kind in "rm":
            return sql.SQL("'{}'::{}").format(sql.SQL("empty" if kind == "r" else "{}"), sql.SQL(column.type))
        text = _FREE.get(base)
        if text is None:
            return None
        return sql.SQL("({})::{}").format(
            sql.SQL(text).format(
                c=sql.Identifier(column.name),
                t=self._table,
                n=sql.SQL("p.number"),
                length=sql.SQL(str(min(length or _LONGEST, _LONGEST))),
            ),
            sql.SQL(column.type),
        )
