"""One table now against the rows of the base, without comparing them all.

A row that nobody has written since it was copied still has its place (ctid) and its xmin, so one scan of the table's
tuple headers counts what is left of the base and what is new, range of pages by range of pages. Where fewer rows are
left than were copied and the new ones do not account for the rest, the keys of that range alone are compared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.blocks import Block
from rollback_provider.components.postgres.copier import WORTH_SESSION, Copier
from rollback_provider.components.postgres.horizon import Horizon, since
from rollback_provider.components.postgres.tables import Column, Table, columns_of, name_of

RANGE_PAGES = 4096
"""Pages of one range: 32 MB of heap."""
FEW = 8192
"""Rows of one range up to which they are read by their places, and no other page of it."""
_PLAIN = frozenset({"smallint", "integer", "bigint", "uuid", "date"})
"""Types whose text has nothing that COPY would escape."""


@dataclass(frozen=True)
class Range:
    """Pages of a table from `start` to before `stop`; the last range of a table is open, for pages added meanwhile."""

    start: int
    stop: int | None

    @property
    def condition(self) -> sql.Composed:
        """That a row lies in it."""
        lower, upper = self.bounds
        return sql.SQL("ctid >= {} and ctid < {}").format(lower, upper)

    @property
    def bounds(self) -> tuple[str, str]:
        """As text of ctids."""
        return f"({self.start},0)", f"({2**32 - 1 if self.stop is None else self.stop},0)"


def ranges(starts: Sequence[int]) -> list[Range]:
    """Ranges that begin at these pages, in order."""
    return [Range(start, stop) for start, stop in zip(starts, [*starts[1:], None], strict=True)]


def ranges_of(pages: int) -> list[Range]:
    """Ranges of a table of so many pages."""
    return ranges(range(0, max(pages, 1), RANGE_PAGES))


@dataclass(frozen=True)
class _Counted:
    """What one range holds: rows left as they were copied, rows written since the horizon, all rows.

    :param places: of the rows written since the horizon, where they are few
    """

    range: Range
    left: int
    fresh: int
    rows: int
    places: str | None


class Trace:
    """Compares a table with the base in one transaction.

    The table must have the filenode of :meth:`Base.origin`, and its transaction ids must be comparable with the base's.

    :param now: the table as it is now
    :param key: the columns that make the snapshot's key, as they are named now
    :param horizon: rows written after it count as fresh; the moment of the base's copy where not given
    """

    def __init__(
        self, copier: Copier, base: Base, oid: int, now: Table, key: Sequence[Column], horizon: Horizon | None = None
    ) -> None:
        self._copier = copier
        self._base = base
        self._oid = oid
        self._now = now
        self._key = key
        copied = base.origin(oid).xmin
        if copied is None:
            raise ValueError(f"The rows of {now.scope} were not copied from it")
        self._copied = Horizon(copied)
        self._horizon = horizon or self._copied
        self._counts = self._counted()

    @property
    def rows(self) -> int:
        """Number of rows now."""
        return sum(each.rows for each in self._counts)

    @property
    def fresh(self) -> int:
        """Number of rows written after the horizon."""
        return sum(each.fresh for each in self._counts)

    @property
    def written(self) -> int:
        """Number of rows written after the base was copied."""
        return sum(each.rows - each.left for each in self._counts)

    @property
    def missing(self) -> int:
        """Number of the copied rows that are not there any more as they were copied."""
        return sum(block.rows for block in self._base.origin(self._oid).blocks) - sum(c.left for c in self._counts)

    def fresh_conditions(self) -> list[sql.Composed]:
        """Conditions that together select the fresh rows, and read only pages that hold some."""
        return [
            sql.SQL("ctid = any({}::tid[])").format(each.places)
            if each.places
            else sql.SQL("{} and {}").format(each.range.condition, since(self._horizon))
            for each in self._counts
            if each.fresh
        ]

    def written_keys(self, fresh: set[bytes]) -> set[bytes]:
        """Keys of the rows written after the base was copied.

        :param fresh: the keys of the fresh rows
        """
        # A row written before the horizon was there at that moment: it was caught up. Only where some of these are gone they must be read.
        caught_up = {
            key for key, line in self._base.overlay(self._oid).items() if line is not None and key not in fresh
        }
        if len(caught_up) == self.written - self.fresh:
            return fresh | caught_up
        return {key for each in self._counts if each.rows > each.left for key in self._keys(each.range, written=True)}

    def gone(self, written: Collection[bytes]) -> Iterator[list[bytes]]:
        """Keys of the base's rows that are not in the table any more.

        :param written: the keys of the rows written after the base was copied
        """
        overlay = self._base.overlay(self._oid)
        known = {*written, *overlay}
        fewer = [
            (each, blocks)
            for each, blocks in zip(self._counts, self._blocks(), strict=True)
            if sum(block.rows for block in blocks) != each.left
        ]
        stored = self._base.stored_keys(self._oid, [block for _, blocks in fewer for block in blocks])
        for each, blocks in fewer:
            parts = [next(stored) for _ in blocks]
            if sum(len(keys) - len(known.intersection(keys)) for keys in parts) > each.left:
                left = set(self._keys(each.range, written=False))
                yield [key for keys in parts for key in keys if key not in left and key not in known]
        yield [key for key, line in overlay.items() if line is not None and key not in written]

    def _blocks(self) -> Iterator[list[Block]]:
        """The base's blocks, range by range."""
        by_page: dict[int, list[Block]] = {}
        for block in self._base.origin(self._oid).blocks:
            by_page.setdefault(block.page or 0, []).append(block)
        return (by_page.get(each.range.start, []) for each in self._counts)

    def _counted(self) -> list[_Counted]:
        found = ranges(sorted({0, *(block.page or 0 for block in self._base.origin(self._oid).blocks)}))
        lower, upper = zip(*(each.bounds for each in found), strict=True)
        # A nested loop over ranges of ctid: each page is read once, whatever the number of ranges.
        query = sql.SQL(
            "select c.* from unnest(%s::tid[], %s::tid[]) with ordinality r (lower, upper, number) cross join lateral"
            " (select count(*) filter (where not written), count(*) filter (where fresh), count(*),"
            " case when count(*) filter (where fresh) <= {few}"
            " then '{{' || string_agg('\"' || place || '\"', ',') filter (where fresh) || '}}' end"
            " from (select x.ctid as place, {written} as written, {fresh} as fresh from only {table} x"
            " where x.ctid >= r.lower and x.ctid < r.upper offset 0) t) c order by r.number"
        ).format(written=since(self._copied, "x"), fresh=since(self._horizon, "x"), few=FEW, table=name_of(self._now))
        size = -(-len(found) // 2) if len(found) > WORTH_SESSION else len(found)
        parts = [[list(lower[i : i + size]), list(upper[i : i + size])] for i in range(0, len(found), size)]
        counts = self._copier.fetch(query, parts)
        return [_Counted(each, *count) for each, count in zip(found, counts, strict=True)]

    def _keys(self, of: Range, *, written: bool) -> Iterable[bytes]:
        """Keys of the rows in a range that were written since the base was copied, or of those that were not."""
        where = sql.SQL("from only {} where {} and {} {}").format(
            name_of(self._now), of.condition, sql.SQL("" if written else "not"), since(self._copied)
        )
        if not written and all(column.type in _PLAIN for column in self._key):
            # Row by row the driver takes seven times as long.
            line = sql.SQL("concat_ws(E'\\t', {})").format(columns_of(self._key))
            query = sql.SQL("select string_agg({}, E'\\n') {}").format(line, where)
            row = self._copier.session.execute(query).fetchone()
            return row[0].encode().split(b"\n") if row and row[0] else ()
        return self._copied_keys(sql.SQL("copy (select {} {}) to stdout").format(columns_of(self._key), where))

    def _copied_keys(self, query: sql.Composed) -> Iterator[bytes]:
        with self._copier.session.cursor().copy(query) as copy:
            for row in copy:
                yield bytes(row)[:-1]
