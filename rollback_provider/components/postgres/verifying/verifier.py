"""Measures whether a database is back: schema, every row, what the ledger promised, foreign keys, sequences.

A table is read and hashed whole and compared with the snapshot, or, where it is large and its rows' places prove which of them nobody has
written, all others are. Where it differs, the rows that differ are found and each must be explained: by the ledger, or as an application's
own. Counts and checksums then prove that nothing else differs, and a random sample of rows, read by key, that they tell the truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from rollback_provider.components.postgres.actions import flat
from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.blocks import total
from rollback_provider.components.postgres.catalog import Catalog
from rollback_provider.components.postgres.copier import Copied, Copier
from rollback_provider.components.postgres.delta import whole
from rollback_provider.components.postgres.rows import CHECKSUM_BITS
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Table
from rollback_provider.components.postgres.undo.done import Done
from rollback_provider.components.postgres.verifying.comparing import Difference, RowComparer, Traced, balance_of
from rollback_provider.components.postgres.verifying.explaining import (
    Explainer,
    Explanation,
    columns_written_by,
    describe,
    read_listed,
    read_touched,
    written_by,
)
from rollback_provider.components.postgres.verifying.keyless import KeylessVerifier
from rollback_provider.components.postgres.verifying.lookup import Key
from rollback_provider.components.postgres.verifying.promises import Promises, broken
from rollback_provider.components.postgres.verifying.sampling import CONFIDENCE, bound, pick, unlike
from rollback_provider.components.postgres.verifying.structure import (
    SHOWN,
    foreign_key_check,
    make_check,
    schema_check,
    sequence_check,
)
from rollback_provider.components.postgres.verifying.writers import Settled, WriterReader, Writers
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobReader, Progress
from rollback_provider.core.model import ComponentPlan
from rollback_provider.core.verification import Check, CheckStatus

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
        settled = plan.payload.get("settled") if trackable else None
        self._writers = WriterReader(copier, base, Settled.of(settled) if settled else None, blobs)
        self._trackable = trackable
        self._keyless = KeylessVerifier(
            copier,
            base,
            self._comparer,
            self._writers,
            lambda oid: any(oid == action["table"]["oid"] for action in self._actions()),
        )

    def run(
        self, then: Catalog, now: Catalog, sequences: Json, ledger: Iterable[Json], progress: Progress
    ) -> list[Check]:
        """All checks, in the order in which a person would ask."""
        tables = {table.scope: table for table in now.tables()}
        checks = [schema_check(self._component, then, now)]
        pairs: list[tuple[Table, Table]] = []
        for rows in self._base.tables.values():
            found = tables.get(rows.table.scope)
            if found is None or not {c.name for c in rows.table.columns} <= {c.name for c in found.columns}:
                checks.append(
                    make_check(
                        self._component,
                        "rows",
                        rows.table.scope,
                        CheckStatus.FAILED,
                        differences=["the table or a column is missing"],
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
        promises = Promises()
        listed = read_listed(promises.reading(ledger))
        for table, found in pairs:
            excused = listed.get(table.scope, {})
            kept = promises.kept.get(table.scope)
            if kept and table.key:
                checks.append(self._promised(table, found, kept, promises.counts[table.scope]))
            if table.oid in traced:
                checks += self._traced(table, found, traced[table.oid], excused)
            else:
                checks += self._table(table, found, copied[str(table.oid)], excused)
        checks.append(foreign_key_check(self._component, self._session, then))
        checks.append(sequence_check(self._component, self._session, sequences))
        return checks

    def _table(self, table: Table, found: Table, copied: Copied, listed: Rows) -> list[Check]:
        """Checks of a table that was read whole."""
        rows, expected = self._base.count(table.oid)
        actual = int(total(block.checksum for block in copied.blocks), 16)
        if (rows, expected) != (copied.rows, actual) and not table.key:
            return [self._keyless.check(self._component, table, found, copied, (expected, actual))]
        differences: Iterable[Difference] = ()
        if (rows, expected) != (copied.rows, actual):
            differences = self._comparer.differences(table, found, rows, copied.rows, expected, actual)
        return self._compared(table, found, (rows, copied.rows), (expected, actual), differences, listed)

    def _traced(self, table: Table, found: Table, traced: Traced, listed: Rows) -> list[Check]:
        """Checks of a table of which only the rows that were written since were read."""
        rows = self._base.rows(table.oid)
        sums = traced.expected, traced.actual
        how = f"{traced.left:,} rows not written since they were copied; {traced.written:,} compared: "
        return self._compared(table, found, (rows, traced.rows), sums, traced.differences, listed, how)

    def _compared(
        self,
        table: Table,
        found: Table,
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
        problems: dict[bytes, Explanation] = {}
        others: list[str] = []
        sample = pick(self._base, table, self._blobs)
        writers = self._writers_of(table, found) if differences else Writers()
        explainer = None
        gain, balance = 0, 0
        for key, now, before in differences:
            explainer = explainer or Explainer(
                table, read_touched(self._actions(), table, self._blobs), listed, writers
            )
            more, other = balance_of((key, now, before))
            gain, balance = gain + more, balance + other
            sample.pop(key, None)
            why = explainer.explain(key, now, before)
            if why.problem:
                problems[key] = why
            else:
                explained[why.reason] += 1
                if len(others) < SHOWN and why.reason.endswith("by applications"):
                    others.append(f"{describe(table, key, now, before)} ({why.reason})")
        since = self._written_since(table, [key for key, each in problems.items() if not each.known])
        explained.update("written again since" if key in since else each.reason for key, each in problems.items())
        expected, actual = sums[0], (sums[1] - balance) % (1 << CHECKSUM_BITS)
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(explained.items()))
        wrong = [each.problem for key, each in problems.items() if key not in since]
        notices = [
            f"{each.problem}: written by the rollback, and by somebody again since"
            for key, each in problems.items()
            if key in since
        ]
        passed = CheckStatus.WARNING if since else CheckStatus.PASSED
        return [
            make_check(
                self._component,
                "rows",
                table.scope,
                passed if rows[0] + gain == rows[1] and not wrong else CheckStatus.FAILED,
                expected=f"{rows[0]:,}",
                actual=f"{rows[1]:,}",
                detail=reasons,
                differences=[*wrong, *notices],
            ),
            make_check(
                self._component,
                "checksum",
                table.scope,
                passed if expected == actual and not wrong else CheckStatus.FAILED,
                expected=_hex(expected),
                actual=_hex(actual),
                detail=f"{len(wrong):,} rows are wrong"
                if wrong and expected == actual
                else "rows differ unseen"
                if expected != actual
                else how + (f"identical but for {reasons}" if reasons else "identical"),
                differences=[*wrong, *notices, *others],
            ),
            *self._sampled(table, found, sample),
        ]

    def _sampled(self, table: Table, found: Table, sample: Mapping[bytes, bytes]) -> Iterator[Check]:
        """A second opinion on the rows of which nothing has said that they differ."""
        if not table.key or not sample:
            return
        wrong = unlike(self._session, table, found, sample)
        sure = f"{100 * CONFIDENCE:g} % sure that fewer than {100 * bound(len(sample)):.1f} % of the rows differ unseen"
        yield make_check(
            self._component,
            "sample",
            table.scope,
            CheckStatus.FAILED if wrong else CheckStatus.PASSED,
            expected=f"{len(sample):,} rows",
            actual=f"{len(sample) - len(wrong):,} rows" if wrong else f"{len(sample):,} rows",
            detail="rows differ unseen" if wrong else f"picked at random, the same field by field: {sure}",
            differences=wrong,
        )

    def _promised(self, table: Table, found: Table, kept: Mapping[Key, Mapping[str, str | None]], count: int) -> Check:
        """Rows of which the ledger says that they stay as applications wrote them. They may have been written again since."""
        problems = broken(self._session, table, found, kept, self._done.own)
        suspects = {each.key for each in problems if each.own}
        written = columns_written_by(self._done, table, suspects, self._blobs) if suspects else {}
        lost: list[str] = []
        again: list[str] = []
        for each in problems:
            (lost if each.own and each.column in written.get(each.key, ()) else again).append(each.problem)
        return make_check(
            self._component,
            "ledger",
            table.scope,
            CheckStatus.FAILED if lost else CheckStatus.PASSED,
            expected=f"{count:,} rows kept as applications wrote them",
            actual=f"{len(kept) - len(problems):,} of {len(kept):,} that were looked up",
            detail=f"{len(again):,} values were written again since" if again else "",
            differences=[
                *lost,
                *(f"{problem} (written again since)" for problem in again),
            ],
        )

    def _written_since(self, table: Table, problems: Collection[bytes]) -> set[bytes]:
        """Keys of rows that the rollback has written as it should, so that they differ by what somebody wrote afterwards."""
        if not problems:
            return set()
        return written_by(self._done, table, problems, self._blobs)

    def _writers_of(self, table: Table, found: Table) -> Writers:
        """Who wrote its rows last; nobody is known where rows may differ although nobody wrote them, and on another server."""
        if not self._trackable or not self._comparer.reads_alike(table, found):
            return Writers()
        return self._writers.read(table, found, self._done.brought_back.get(table.oid, ()))

    @cached_property
    def _done(self) -> Done:
        """What the rollback has done."""
        return Done.of(self._session, self._plan, self._notes)

    def _actions(self) -> Iterator[Json]:
        """The plan's row actions."""
        for step in self._plan.steps:
            yield from (action for action in flat(step.payload["actions"]) if "op" in action and "table" in action)


def _hex(value: int) -> str:
    return f"{value:032x}"
