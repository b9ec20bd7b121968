"""Measures whether a database is back: schema, every row, foreign keys, sequences.

A table is read and hashed whole and compared with the snapshot, or, where it is large and its rows' places prove which of them nobody has
written, all others are. Where it differs, the rows that differ are found and each must be explained: by the ledger, or as an application's
own. Counts and checksums then prove that nothing else differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from rollback_provider.components.postgres.actions import flat
from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.blocks import total
from rollback_provider.components.postgres.catalog import Catalog, differences
from rollback_provider.components.postgres.comparing import Difference, RowComparer, Traced, balance_of
from rollback_provider.components.postgres.copier import Copied, Copier
from rollback_provider.components.postgres.delta import whole
from rollback_provider.components.postgres.explaining import explain, read_listed, read_touched, written_by
from rollback_provider.components.postgres.rows import CHECKSUM_BITS, checksum
from rollback_provider.components.postgres.sequences import is_behind, sequence_values
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Table
from rollback_provider.components.postgres.trace import Trace
from rollback_provider.components.postgres.undo.done import Done
from rollback_provider.core.component import BlobReader, Progress
from rollback_provider.core.model import Area, Check, CheckStatus, ComponentPlan, Json

AREAS = {
    "schema": Area.STRUCTURE,
    "rows": Area.ROW_COUNTS,
    "checksum": Area.CHECKSUMS,
    "foreign keys": Area.REFERENTIAL_INTEGRITY,
}
SHOWN = 100
"""Differences named in one check; the rest are counted."""
Rows = dict[tuple[str | None, ...], set[str]]
"""Rows of one table that the ledger says stay as they are."""


class Verifier:
    """Runs the checks of one database in one transaction.

    :param plan: what was to be done: rows that differ are explained by it
    :param notes: what was done: a row that came back and differs has been written since
    :param trackable: whether transaction ids are those of the snapshot's server
    :param same_types: whether the user's types are what they were
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
        *,
        trackable: bool,
        same_types: bool,
    ) -> None:
        self._component = component
        self._session = session
        self._copier = copier
        self._base = base
        self._plan = plan
        self._notes = notes
        self._blobs = blobs
        self._comparer = RowComparer(copier, base, trackable=trackable, same_types=same_types)

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
        traced = {table.oid: seen for table, found in pairs if (seen := self._comparer.traced(table, found))}
        copied = self._copier.run(
            [
                extract
                for table, found in pairs
                if table.oid not in traced
                for extract in whole(self._session, found, str(table.oid), table.stored_columns, 0)
            ],
            None,
            progress,
            f"{self._component}: reading rows",
        )
        listed = read_listed(ledger)
        for table, found in pairs:
            excused = listed.get(table.scope, {})
            if table.oid in traced:
                checks += self._traced(table, traced[table.oid], excused)
            else:
                checks += self._table(table, found, copied[str(table.oid)], excused)
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

    def _table(self, table: Table, found: Table, copied: Copied, listed: Rows) -> list[Check]:
        """Checks of a table that was read whole."""
        rows, expected = self._base.count(table.oid)
        actual = int(total(block.checksum for block in copied.blocks), 16)
        if (rows, expected) != (copied.rows, actual) and not table.key:
            return [self._keyless(table, found, copied, expected, actual)]
        differences: Iterable[Difference] = ()
        if (rows, expected) != (copied.rows, actual):
            differences = self._comparer.differences(table, found, rows, copied.rows, expected, actual)
        return self._compared(table, (rows, copied.rows), (expected, actual), differences, listed)

    def _traced(self, table: Table, traced: Traced, listed: Rows) -> list[Check]:
        """Checks of a table of which only the rows that were written since were read."""
        rows = self._base.rows(table.oid)
        sums = traced.expected, traced.actual
        how = f"{traced.left:,} rows not written since they were copied; {traced.written:,} compared: "
        return self._compared(table, (rows, traced.rows), sums, traced.differences, listed, how)

    def _compared(
        self,
        table: Table,
        rows: tuple[int, int],
        sums: tuple[int, int],
        differences: Iterable[Difference],
        listed: Rows,
        how: str = "",
    ) -> list[Check]:
        """Explains each row that differs; without them everything must add up.

        :param rows: how many there were, and are now
        :param sums: their checksums
        """
        explained: Counter[str] = Counter()
        problems: dict[bytes, tuple[str, str]] = {}
        touched = None
        gain, balance = 0, 0
        for key, now, before in differences:
            touched = touched or read_touched(self._actions(), table, self._blobs)
            more, other = balance_of((key, now, before))
            gain, balance = gain + more, balance + other
            reason, problem = explain(table, key, now, before, touched, listed)
            if problem:
                problems[key] = reason, problem
            else:
                explained[reason] += 1
        since = self._written_since(table, problems)
        explained.update("written again since" if key in since else reason for key, (reason, _) in problems.items())
        expected, actual = sums[0], (sums[1] - balance) % (1 << CHECKSUM_BITS)
        why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(explained.items()))
        wrong = [problem for key, (_, problem) in problems.items() if key not in since]
        notices = [
            f"{problem}: written by the rollback, and by somebody again since"
            for key, (_, problem) in problems.items()
            if key in since
        ]
        passed = CheckStatus.WARNING if since else CheckStatus.PASSED
        return [
            self._check(
                "rows",
                table.scope,
                passed if rows[0] + gain == rows[1] and not wrong else CheckStatus.FAILED,
                expected=f"{rows[0]:,}",
                actual=f"{rows[1]:,}",
                detail=why,
                differences=[*wrong, *notices],
            ),
            self._check(
                "checksum",
                table.scope,
                passed if expected == actual and not wrong else CheckStatus.FAILED,
                expected=_hex(expected),
                actual=_hex(actual),
                detail=f"{len(wrong):,} rows are wrong"
                if wrong and expected == actual
                else "rows differ unseen"
                if expected != actual
                else how + (f"identical but for {why}" if why else "identical"),
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
        if self._comparer.is_traceable(table, found):
            trace = Trace(self._copier, self._base, table.oid, found, ())
            written = self._comparer.written(trace, table, found)
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
            area=AREAS.get(name, Area.STATE),
        )


def _hex(value: int) -> str:
    return f"{value:032x}"
