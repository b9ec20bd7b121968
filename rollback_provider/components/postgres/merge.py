"""The three-way merge in SQL: by key and by column, on the values' text, with what the migration left as the condition.

A stage holds, for each row that the migration changed, its key, for each column `o` (the snapshot's value) and `n`
(what the migration left), and `seen`, a digest of the row as the plan's ledger listed it. A column that still is `n`
goes back to `o`; one that is something else was written by an application and stays. Where the policy restores
conflicts, the plan has put the value that was approved for overwriting in the place of `n`. Values are compared by
their output text: exact (1.0 is not 1.00), and it works for types without equality.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg import sql

from rollback_provider.components.postgres.horizon import Horizon, since
from rollback_provider.components.postgres.tables import Column, Table, name_of

_CONSTANT = re.compile(r"(?:-?\d+(?:\.\d+)?|'(?:[^']|'')*'|true|false|NULL)(?:::[\w \".,()\[\]]+)?")
STAGE = sql.Identifier("pg_temp", "rollback_stage")


def output(value: sql.Composable) -> sql.Composed:
    """The value's output text; NULL stays NULL. A cast to text would differ for boolean, character(n) and others."""
    return sql.SQL("case when {0} is distinct from null then concat({0}) end").format(value)


@dataclass(frozen=True)
class Child:
    """A table with a foreign key to another: pairs of column names, its own first."""

    schema: str
    name: str
    pairs: tuple[tuple[str, str], ...]
    itself: bool

    def referring(self) -> sql.Composed:
        """Subquery for its rows that refer to row `t`."""
        same = [
            sql.SQL("c.{} = t.{}").format(sql.Identifier(mine), sql.Identifier(theirs)) for mine, theirs in self.pairs
        ]
        other = [sql.SQL("c.ctid <> t.ctid")] if self.itself else []
        return sql.SQL("select from {} c where {}").format(
            sql.Identifier(self.schema, self.name), sql.SQL(" and ").join([*same, *other])
        )


@dataclass(frozen=True)
class Merge:
    """SQL for one table.

    :param table: where it is now
    :param key: the columns that make the snapshot's key, as they are named and typed now
    :param columns: the other columns that take part, likewise
    :param children: who refers to the table
    :param beside: columns that take no part and stay: a row that is inserted or deleted has values in them, too
    :param deferrable: it has a unique or exclusion constraint that can be deferred
    :param horizon: rows that were not written after it are known to be what the migration left; none where all must be compared
    """

    table: Table
    key: tuple[Column, ...]
    columns: tuple[Column, ...]
    children: tuple[Child, ...] = ()
    beside: tuple[Column, ...] = ()
    deferrable: bool = False
    horizon: Horizon | None = None

    def stage(self) -> sql.Composed:
        """Creates the stage of `update` and `delete`: key, all `o`, all `n`, seen."""
        columns = range(len(self.columns))
        names = [sql.SQL(f"{image}{i} text") for image in "on" for i in columns]
        return self._create([*self._key_types(), *names, sql.SQL("seen text")])

    def whole_stage(self) -> sql.Composed:
        """Creates the stage of `insert` and `refill`: the key and the values, in their own types."""
        values = [sql.SQL(f"o{i} {{}}").format(sql.SQL(c.type)) for i, c in self._each()]
        return self._create([*self._key_types(), *values])

    def index(self) -> sql.Composed:
        """Indexes the stage by its key, and tells the planner of it: of the other columns it need not know."""
        keys = sql.SQL(", ").join(sql.SQL(f"k{i}") for i in range(len(self.key)))
        return sql.SQL("create index on {0} ({1}); analyze {0} ({1})").format(STAGE, keys)

    @property
    def match(self) -> sql.Composed:
        """Row `t` has the key of stage row `s`."""
        return self._match("t")

    @property
    def key_order(self) -> sql.Composed:
        """The stage's key, for ORDER BY and select lists."""
        return sql.SQL(", ").join(sql.SQL(f"s.k{i}") for i in range(len(self.key)))

    def touched(self) -> sql.Composed:
        """Some column of row `t` is not what the migration left: an application has written it."""
        parts = [
            sql.SQL("{} is distinct from s.n{}").format(output(self._now(c)), sql.SQL(str(i))) for i, c in self._each()
        ]
        if not parts:
            return sql.SQL("false").format()
        return sql.SQL("({}({}))").format(self._written_and(), sql.SQL(" or ").join(parts))

    def image(self, places: Iterable[int] | None = None) -> sql.Composed:
        """A digest of row `t`, to know whether it is still the one that was listed: of these columns, or of all."""
        columns = self.columns if places is None else [self.columns[i] for i in places]
        return sql.SQL("md5(row({})::text)").format(sql.SQL(", ").join(output(self._now(c)) for c in columns))

    def changed(self) -> sql.Composed:
        """For each column, whether the migration has changed it in some row of an `update` stage."""
        changed = [sql.SQL(f"bool_or(s.o{i} is distinct from s.n{i})") for i in range(len(self.columns))]
        return sql.SQL("select {} from {} s").format(sql.SQL(", ").join(changed), STAGE)

    def staged(self, places: Sequence[int]) -> sql.Composed:
        """The stage's rows with only these of its columns, in the order of the key."""
        images = sql.SQL("").join(sql.SQL(f"s.{image}{i}, ") for image in "on" for i in places)
        return sql.SQL("select {key}, {images}s.seen from {stage} s order by {key}").format(
            key=self.key_order, images=images, stage=STAGE
        )

    def lock(self) -> sql.Composed:
        """Locks the rows of the stage, in the order of the key so that two such statements cannot deadlock."""
        return sql.SQL(
            "select count(*) from (select from only {} t join {} s on {} order by {} for update of t) l"
        ).format(name_of(self.table), STAGE, self.match, self.key_order)

    def listing(self) -> sql.Composed:
        """Stage rows that applications have touched or deleted since, beyond those already listed as they are."""
        now = sql.SQL(", ").join(output(self._now(c)) for c in self.columns)
        stage = sql.SQL(", ").join(sql.SQL(f"s.o{i}, s.n{i}") for i in range(len(self.columns)))
        return sql.SQL(
            "select {key}, t.ctid is null{comma1}{stage}{comma1}{now} from {s} s left join only {t} t on {match}"
            " where case when t.ctid is null or {touched} then s.seen is distinct from coalesce({image}, '') end order by {key}"
        ).format(
            key=sql.SQL(", ").join(output(sql.SQL(f"s.k{i}")) for i in range(len(self.key))),
            comma1=sql.SQL(", " if self.columns else ""),
            stage=stage,
            now=now,
            s=STAGE,
            t=name_of(self.table),
            match=self.match,
            touched=self.touched(),
            image=sql.SQL("case when t.ctid is null then 'gone' else {} end").format(self.image()),
        )

    def mark_seen(self, image: sql.Composed) -> sql.Composed:
        """Notes in the stage how rows that applications have touched look now."""
        return sql.SQL("update {} s set seen = {} from only {} t where {} and {}").format(
            STAGE, image, name_of(self.table), self.match, self.touched()
        )

    def mark_gone(self) -> sql.Composed:
        """Notes in the stage which rows applications have deleted."""
        return sql.SQL("update {} s set seen = 'gone' where not exists (select from only {} t where {})").format(
            STAGE, name_of(self.table), self.match
        )

    def approve_now(self, i: int, *, unless_equal: bool) -> sql.Composed:
        """Puts the value found now in the place of what the migration left, so that it will be overwritten."""
        changed = (
            sql.SQL("s.o{0} is distinct from s.n{0} and ").format(sql.SQL(str(i))) if unless_equal else sql.SQL("")
        )
        now = output(self._now(self.columns[i]))
        return sql.SQL(
            "update {s} s set n{i} = {now} from only {t} t where {match} and {changed}{now} is distinct from s.n{i}"
        ).format(s=STAGE, i=sql.SQL(str(i)), now=now, t=name_of(self.table), match=self.match, changed=changed)

    def update(self, *, returning: bool = False) -> sql.Composed:
        """Gives every column that still is what the migration left its old value back.

        :param returning: gives of each row key, values before and values after, as text
        """
        sets, where = [], []
        for i, c in self._each():
            args = {
                "c": sql.Identifier(c.name),
                "now": output(self._now(c)),
                "n": sql.SQL(f"s.n{i}"),
                "o": sql.SQL(f"s.o{i}"),
                "type": sql.SQL(c.type),
            }
            sets.append(
                sql.SQL("{c} = case when {now} is not distinct from {n} then {o}::{type} else t.{c} end").format(**args)
            )
            where.append(sql.SQL("({o} is distinct from {n} and {now} is not distinct from {n})").format(**args))
        return self._updating(sets, sql.SQL("({})").format(sql.SQL(" or ").join(where)), returning=returning)

    def delete(self, *, returning: bool = False) -> sql.Composed:
        """Deletes rows that are as the migration left them and that no other row refers to.

        :param returning: gives of each row key and values, those of `beside` last, as text
        """
        free = [sql.SQL(" and not exists ({})").format(child.referring()) for child in self.children]
        return sql.SQL("delete from only {} t using {} s where {} and not {}{}{}").format(
            name_of(self.table),
            STAGE,
            self.match,
            self.touched(),
            sql.SQL("").join(free),
            self._returning("t", "t") if returning else sql.SQL(""),
        )

    def free(self) -> sql.Composed:
        """Keys of rows that are as the migration left them and still there."""
        return sql.SQL("select {} from {} s join only {} t on {} where not {}").format(
            sql.SQL(", ").join(output(sql.SQL(f"s.k{i}")) for i in range(len(self.key))),
            STAGE,
            name_of(self.table),
            self.match,
            self.touched(),
        )

    def insert(self, *, returning: bool = False) -> sql.Composed:
        """Inserts rows whose key is free; a row that would break a unique constraint is left out, unless that can be deferred.

        :param returning: gives of each row key and values, those of `beside` last, as text
        """
        names = [sql.Identifier(c.name) for c in (*self.key, *self.columns)]
        values = [f"s.k{i}" for i in range(len(self.key))] + [f"s.o{i}" for i in range(len(self.columns))]
        return sql.SQL(
            "insert into {} as i ({}) overriding system value select {} from {} s"
            " where not exists (select from only {} t where {}){}{}"
        ).format(
            name_of(self.table),
            sql.SQL(", ").join(names),
            sql.SQL(", ").join(map(sql.SQL, values)),
            STAGE,
            name_of(self.table),
            self.match,
            sql.SQL("" if self.deferrable else " on conflict do nothing"),
            self._returning("i", "i") if returning else sql.SQL(""),
        )

    def done(self) -> sql.Composed:
        """Takes rows off an `update` stage for which nothing is to be done."""
        left = sql.SQL("not {} or ").format(since(self.horizon, "t")) if self.horizon else sql.SQL("")
        open_ = sql.SQL(" or ").join(
            sql.SQL("(s.o{i} is distinct from s.n{i} and ({left}{now} is not distinct from s.n{i}))").format(
                i=sql.SQL(str(i)), left=left, now=output(self._now(c))
            )
            for i, c in self._each()
        )
        return sql.SQL("delete from {} s where not exists (select from only {} t where {} and ({}))").format(
            STAGE, name_of(self.table), self.match, open_
        )

    def open(self) -> sql.Composed:
        """Keys of rows of an `update` stage for which something is to be done."""
        open_ = sql.SQL(" or ").join(
            sql.SQL("(s.o{i} is distinct from s.n{i} and {now} is not distinct from s.n{i})").format(
                i=sql.SQL(str(i)), now=output(self._now(c))
            )
            for i, c in self._each()
        )
        return sql.SQL("select {} from {} s join only {} t on {} where {}").format(
            sql.SQL(", ").join(output(sql.SQL(f"s.k{i}")) for i in range(len(self.key))),
            STAGE,
            name_of(self.table),
            self.match,
            open_,
        )

    def gone(self) -> sql.Composed:
        """Takes rows off a `delete` stage that are not there as the migration left them."""
        return sql.SQL("delete from {} s where not exists (select from only {} t where {} and not {})").format(
            STAGE, name_of(self.table), self.match, self.touched()
        )

    def missing(self) -> sql.Composed:
        """Keys of stage rows that are not in the table."""
        return sql.SQL("select {} from {} s where not exists (select from only {} t where {})").format(
            sql.SQL(", ").join(output(sql.SQL(f"s.k{i}")) for i in range(len(self.key))),
            STAGE,
            name_of(self.table),
            self.match,
        )

    def keys(self) -> sql.Composed:
        """Keys of the stage's rows, as a query for COPY."""
        return sql.SQL("select {} from {} s").format(self.key_order, STAGE)

    def present(self) -> sql.Composed:
        """Keys of stage rows that are in the table, as a query for COPY."""
        return sql.SQL("select {} from {} s join only {} t on {}").format(
            self.key_order, STAGE, name_of(self.table), self.match
        )

    def taken(self) -> sql.Composed:
        """Keys of stage rows that are in the table with other values, and those values."""
        other = [
            sql.SQL("{} is distinct from {}").format(output(self._now(c)), output(sql.SQL(f"s.o{i}")))
            for i, c in self._each()
        ]
        return sql.SQL("select {} from {} s join only {} t on {} where {}").format(
            sql.SQL(", ").join(
                [
                    *(output(sql.SQL(f"s.k{i}")) for i in range(len(self.key))),
                    *(output(self._now(c)) for c in self.columns),
                ]
            ),
            STAGE,
            name_of(self.table),
            self.match,
            sql.SQL(" or ").join([sql.SQL("false"), *other]),
        )

    def refill(self, *, returning: bool = False) -> sql.Composed:
        """Gives restored columns their old values, where they are still as the column was added.

        :param returning: gives of each row key, values before and values after, as text
        """
        sets = [sql.SQL("{} = s.o{}").format(sql.Identifier(c.name), sql.SQL(str(i))) for i, c in self._each()]
        return self._updating(sets, self._empty(), returning=returning)

    def empty(self) -> sql.Composed:
        """Number of rows that `refill` would change."""
        return sql.SQL("select count(*) from only {} t join {} s on {} where {}").format(
            name_of(self.table), STAGE, self.match, self._empty()
        )

    def _empty(self) -> sql.Composed:
        fresh, needed = [], []
        for i, c in self._each():
            now = output(self._now(c))
            needed.append(sql.SQL("{} is distinct from {}").format(now, output(sql.SQL(f"s.o{i}"))))
            if added := constant(c.default):
                fresh.append(
                    sql.SQL(" and {} is not distinct from {}").format(now, output(sql.SQL(f"({added})::{c.type}")))
                )
        return sql.SQL("({}){}").format(sql.SQL(" or ").join(needed), sql.SQL("").join(fresh))

    def _updating(self, sets: Sequence[sql.Composable], where: sql.Composable, *, returning: bool) -> sql.Composed:
        was = sql.SQL(" join only {} was on {}").format(name_of(self.table), self._match("was"))
        return sql.SQL("update only {} t set {} from {} s{} where {} and {}{}").format(
            name_of(self.table),
            sql.SQL(", ").join(sets),
            STAGE,
            was if returning else sql.SQL(""),
            self.match,
            where,
            self._returning("t", "was", "t") if returning else sql.SQL(""),
        )

    def _returning(self, key: str, *images: str) -> sql.Composed:
        shown = [output(sql.Identifier(key, column.name)) for column in self.key]
        shown += [output(sql.Identifier(image, column.name)) for image in images for column in self.columns]
        shown += [output(sql.Identifier(key, column.name)) for column in self.beside]
        return sql.SQL(" returning {}").format(sql.SQL(", ").join(shown))

    def _written_and(self) -> sql.Composable:
        """Spares rows that nobody has written from being compared."""
        return sql.SQL("{} and ").format(since(self.horizon, "t")) if self.horizon else sql.SQL("")

    def _match(self, alias: str) -> sql.Composed:
        same = [
            sql.SQL("{} = s.{}").format(sql.Identifier(alias, c.name), sql.SQL(f"k{i}")) for i, c in enumerate(self.key)
        ]
        return sql.SQL(" and ").join(same)

    def _key_types(self) -> list[sql.Composable]:
        return [sql.SQL(f"k{i} {{}}").format(sql.SQL(c.type)) for i, c in enumerate(self.key)]

    @staticmethod
    def _create(columns: Sequence[sql.Composable]) -> sql.Composed:
        return sql.SQL("create temporary table rollback_stage ({})").format(sql.SQL(", ").join(columns))

    def _each(self) -> Iterable[tuple[int, Column]]:
        return enumerate(self.columns)

    @staticmethod
    def _now(column: Column) -> sql.Composed:
        return sql.SQL("t.{}").format(sql.Identifier(column.name))


def constant(default: str | None) -> str | None:
    """SQL of the value that rows got when a column with this default was added; None where it is no plain constant."""
    if default is None:
        return "null"
    return default if _CONSTANT.fullmatch(default) else None
