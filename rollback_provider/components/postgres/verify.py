"""Measures whether a database is back: schema, every row, foreign keys, sequences.

Every table is read and hashed whole and compared with the snapshot. Where it differs, the rows that differ are found
and each must be explained: by the ledger, or as an application's own. The checksums then prove that nothing else
differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from psycopg import sql

from rollback_provider.components.postgres.actions import flat
from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.blocks import total
from rollback_provider.components.postgres.catalog import Catalog, differences
from rollback_provider.components.postgres.copier import Copied, Copier
from rollback_provider.components.postgres.delta import is_traceable, whole
from rollback_provider.components.postgres.explaining import explain, read_listed, read_touched, written_by
from rollback_provider.components.postgres.horizon import current_xmin
from rollback_provider.components.postgres.lines import IN_MEMORY, join
from rollback_provider.components.postgres.rows import CHECKSUM_BITS, checksum, key_of
from rollback_provider.components.postgres.sequences import is_behind, sequence_values
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Table, columns_of, name_of
from rollback_provider.components.postgres.trace import Trace
from rollback_provider.components.postgres.undo.done import Done
from rollback_provider.core.component import BlobReader, Progress
from rollback_provider.core.model import Check, CheckStatus, ComponentPlan, Json

SHOWN = 100
"""Differences named in one check; the rest are counted."""
Difference = tuple[bytes, bytes | None, bytes | None]
"""Key, row now, row in the snapshot."""


class Verifier:
    """Runs the checks of one database in one transaction.

    :param plan: what was to be done: rows that differ are explained by it
    :param notes: what was done: a row that came back and differs has been written since
    """

    def __init__(
        self,
        component: str,
        session: Session,
        copier: Copier,
        base: Base,
        plan: ComponentPlan,
        notes: Callable[[str], Sequence[Json]],
        blobs: BlobReader,
    ) -> None:
        self._component = component
        self._session = session
        self._copier = copier
        self._base = base
        self._plan = plan
        self._notes = notes
        self._blobs = blobs

    def run(
        self, then: Catalog, now: Catalog, sequences: Json, ledger: Iterable[Json], progress: Progress
    ) -> list[Check]:
        """All checks, in the order in which a person would ask."""
        tables = {table.scope: table for table in now.tables()}
        checks = [self._schema(then, now)]
        pairs: list[tuple[Table, Table]] = []
        for rows in self._base.tables.values():
            found = tables.get(rows.table.scope)
            if found is None or not {c.name for c in rows.table.columns} <= {c.name for c in found.columns}:
                checks.append(
                    self._check(
                        "rows", rows.table.scope, CheckStatus.FAILED, differences=["the table or a column is missing"]
                    )
                )
            else:
                pairs.append((rows.table, found))
        copied = self._copier.run(
            [
                extract
                for table, found in pairs
                for extract in whole(self._session, found, str(table.oid), table.stored_columns, 0)
            ],
            None,
            progress,
            f"{self._component}: reading every row",
        )
        listed = read_listed(ledger)
        for table, found in pairs:
            checks += self._table(table, found, copied[str(table.oid)], listed.get(table.scope, {}))
        checks.append(self._foreign_keys(then))
        checks.append(self._sequences(sequences))
        return checks

    # Schema, foreign keys, sequences ----------------------------------------------------------------------------------------

    def _schema(self, then: Catalog, now: Catalog) -> Check:
        found = differences(then, now)
        return self._check(
            "schema",
            "",
            CheckStatus.FAILED if found else CheckStatus.PASSED,
            expected=then.fingerprint(),
            actual=now.fingerprint(),
            detail=f"{len(found)} differences" if found else "the fingerprint is that of the snapshot",
            differences=found,
        )

    def _foreign_keys(self, then: Catalog) -> Check:
        wanted = {e.name: e.facts["valid"] for e in then.entries if e.kind == "constraint" and e.facts["type"] == "f"}
        found = {
            tuple(name): valid
            for name, valid in self._session.execute(
                "select array[n.nspname, c.relname, k.conname], k.convalidated from pg_constraint k join pg_class c on c.oid = k.conrelid"
                " join pg_namespace n on n.oid = c.relnamespace where k.contype = 'f'"
            ).fetchall()
        }
        wrong = [
            f"{'.'.join(name)} is {'not validated' if name in found else 'missing'}"
            for name, valid in wanted.items()
            if name not in found or (valid and not found[name])
        ]
        return self._check(
            "foreign keys",
            "",
            CheckStatus.FAILED if wrong else CheckStatus.PASSED,
            expected=f"{len(wanted):,}, {sum(wanted.values()):,} of them validated",
            actual=f"{len(wanted) - len(wrong):,} as they were",
            differences=wrong,
        )

    def _sequences(self, then: Json) -> Check:
        present = self._session.execute(
            "select name from unnest(%s::text[]) name where to_regclass(name) is not null", [list(then)]
        ).fetchall()
        now = sequence_values(self._session, [name for (name,) in present])
        found = [
            f"{name} stands at {now[name][0] if name in now else 'nothing'}, behind {value[0]}"
            for name, value in then.items()
            if name not in now or is_behind(now[name], value)
        ]
        return self._check(
            "sequences",
            "",
            CheckStatus.FAILED if found else CheckStatus.PASSED,
            expected=f"{len(then):,} at or past the snapshot's value",
            actual=f"{len(then) - len(found):,}",
            differences=found,
        )

    # Rows -----------------------------------------------------------------------------------------------------------------

    def _table(
        self, table: Table, found: Table, copied: Copied, listed: dict[tuple[str | None, ...], set[str]]
    ) -> list[Check]:
        rows, expected = self._base.count(table.oid)
        actual = int(total(block.checksum for block in copied.blocks), 16)
        scope = table.scope
        if (rows, expected) == (copied.rows, actual):
            return [
                self._check("rows", scope, CheckStatus.PASSED, expected=f"{rows:,}", actual=f"{rows:,}"),
                self._check(
                    "checksum",
                    scope,
                    CheckStatus.PASSED,
                    expected=_hex(expected),
                    actual=_hex(actual),
                    detail="identical",
                ),
            ]
        if not table.key:
            return [self._keyless(table, found, copied, expected, actual)]
        explained: Counter[str] = Counter()
        problems: dict[bytes, tuple[str, str]] = {}
        touched = read_touched(self._actions(), table, self._blobs)
        gain, balance = 0, 0
        for key, now, before in self._differences(table, found, rows, copied.rows, expected, actual):
            gain += (now is not None) - (before is not None)
            balance += checksum(_present(now)) - checksum(_present(before))
            reason, problem = explain(table, key, now, before, touched, listed)
            if problem:
                problems[key] = reason, problem
            else:
                explained[reason] += 1
        since = self._written_since(table, problems)
        explained.update("written again since" if key in since else reason for key, (reason, _) in problems.items())
        closes = (expected + balance) % (1 << CHECKSUM_BITS) == actual
        why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(explained.items()))
        wrong = [problem for key, (_, problem) in problems.items() if key not in since]
        notices = [
            f"{problem}: written by the rollback, and by somebody again since"
            for key, (_, problem) in problems.items()
            if key in since
        ]
        good = closes and not wrong
        passed = CheckStatus.WARNING if since else CheckStatus.PASSED
        return [
            self._check(
                "rows",
                scope,
                passed if rows + gain == copied.rows and not wrong else CheckStatus.FAILED,
                expected=f"{rows:,}",
                actual=f"{copied.rows:,}",
                detail=why,
                differences=[*wrong, *notices],
            ),
            self._check(
                "checksum",
                scope,
                passed if good else CheckStatus.FAILED,
                expected=_hex(expected),
                actual=_hex((actual - balance) % (1 << CHECKSUM_BITS)),
                detail=f"identical but for {why}"
                if good
                else f"{len(wrong):,} rows are wrong"
                if closes
                else "rows differ unseen",
                differences=[*wrong, *notices],
            ),
        ]

    def _written_since(self, table: Table, problems: Collection[bytes]) -> set[bytes]:
        """Keys of rows that the rollback has written as it should, so that they differ by what somebody wrote afterwards."""
        if not problems:
            return set()
        return written_by(Done.of(self._session, self._plan, self._notes), table, problems, self._blobs)

    def _keyless(self, table: Table, found: Table, copied: Copied, expected: int, actual: int) -> Check:
        """Where no key tells rows apart, their place does: those that are where they were copied are the snapshot's."""
        rows = self._base.rows(table.oid)
        status, detail, differences = CheckStatus.FAILED, "", []
        if self._traceable(table, found):
            trace = Trace(self._session, self._base, table.oid, found, ())
            written = [line for part in self._written(trace, table, found) for line in part]
            if not trace.missing and (expected + checksum(written)) % (1 << CHECKSUM_BITS) == actual:
                status, detail = CheckStatus.PASSED, f"identical but for {len(written):,} inserted by applications"
            elif not any(table.oid == action["table"]["oid"] for action in self._actions()):
                status = CheckStatus.WARNING
                detail = (
                    f"{trace.missing:,} of the snapshot's rows were changed or deleted, {len(written):,} written: by applications,"
                    " for the rollback had nothing to do here"
                )
        if status is CheckStatus.FAILED:
            differences = ["the table has no key, so what applications wrote cannot be told from what was lost"]
        return self._check(
            "checksum",
            table.scope,
            status,
            expected=f"{rows:,} rows, {_hex(expected)}",
            actual=f"{copied.rows:,} rows, {_hex(actual)}",
            detail=detail,
            differences=differences,
        )

    def _actions(self) -> Iterator[Json]:
        """The plan's row actions."""
        for step in self._plan.steps:
            yield from (action for action in flat(step.payload["actions"]) if "op" in action and "table" in action)

    def _written(self, trace: Trace, table: Table, found: Table) -> Iterator[list[bytes]]:
        """Lines of the rows written since the snapshot."""
        for condition in trace.fresh_conditions():
            yield from self._lines(self._select(table, found, condition))

    def _differences(
        self, table: Table, found: Table, rows: int, rows_now: int, expected: int, actual: int
    ) -> Iterator[Difference]:
        """Rows that differ.

        First only those written since the snapshot and those that are gone are looked for; if that does not account for everything, all
        are compared.
        """
        if self._traceable(table, found):
            some = list(self._traced(table, found))
            gain = sum((now is not None) - (before is not None) for _, now, before in some)
            balance = sum(checksum(_present(now)) - checksum(_present(before)) for _, now, before in some)
            if rows + gain == rows_now and (expected + balance) % (1 << CHECKSUM_BITS) == actual:
                yield from some
                return
        now = self._lines(self._select(table, found, sql.SQL("true").format()))
        for key, line, before in join(now, rows_now, self._base.lines(table.oid), len(table.key), outer=True):
            if line != before:
                yield key, line, before

    def _traceable(self, table: Table, found: Table) -> bool:
        now = current_xmin(self._session)
        return table.oid == found.oid and is_traceable(self._base, table.oid, found, now)

    def _traced(self, table: Table, found: Table) -> Iterator[Difference]:
        """Rows written since the snapshot that differ, and rows that are gone; none where they are too many to hold."""
        trace = Trace(self._session, self._base, table.oid, found, table.key_columns)
        if trace.written > IN_MEMORY:
            return
        lines = [line for part in self._written(trace, table, found) for line in part]
        for key, now, before in self._base.match(table.oid, [lines], len(lines)):
            if now != before:
                yield key, now, before
        gone = {key for keys in trace.gone({key_of(line, len(table.key)) for line in lines}) for key in keys}
        yield from ((key, None, before) for key, before in self._base.find(table.oid, gone))

    def _lines(self, query: sql.Composed) -> Iterator[list[bytes]]:
        with self._session.cursor().copy(sql.SQL("copy ({}) to stdout").format(query)) as copy:
            for row in copy:
                yield [bytes(row)[:-1]]

    def _select(self, table: Table, found: Table, where: sql.Composed) -> sql.Composed:
        return sql.SQL("select {} from only {} where {}").format(
            columns_of(table.stored_columns), name_of(found), where
        )

    def _check(
        self,
        name: str,
        scope: str,
        status: CheckStatus,
        *,
        expected: str = "",
        actual: str = "",
        detail: str = "",
        differences: Iterable[str] = (),
    ) -> Check:
        return Check(
            component=self._component,
            name=name,
            scope=scope,
            status=status,
            expected=expected,
            actual=actual,
            detail=detail,
            differences=tuple(differences)[:SHOWN],
        )


def _present(line: bytes | None) -> list[bytes]:
    return [] if line is None else [line]


def _hex(value: int) -> str:
    return f"{value:032x}"
