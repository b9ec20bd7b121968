"""Verifies a table in which no key tells rows apart: their place does. Those that are where they were copied are the snapshot's."""

from __future__ import annotations

from collections.abc import Callable

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.copier import Copied, Copier
from rollback_provider.components.postgres.rows import CHECKSUM_BITS, checksum
from rollback_provider.components.postgres.tables import Table
from rollback_provider.components.postgres.trace import Trace
from rollback_provider.components.postgres.verifying.comparing import RowComparer
from rollback_provider.components.postgres.verifying.structure import make_check
from rollback_provider.components.postgres.verifying.writers import WriterReader
from rollback_provider.core.verification import Check, CheckStatus


class KeylessVerifier:
    """Explains why tables without a key differ, in one transaction.

    :param touched: whether the plan was to change rows of a table, by its oid in the snapshot
    """

    def __init__(
        self, copier: Copier, base: Base, comparer: RowComparer, writers: WriterReader, touched: Callable[[int], bool]
    ) -> None:
        self._copier = copier
        self._base = base
        self._comparer = comparer
        self._writers = writers
        self._touched = touched

    def check(self, component: str, table: Table, found: Table, copied: Copied, sums: tuple[int, int]) -> Check:
        """The check of a table that differs.

        :param sums: checksum of the snapshot's rows, and of those now
        """
        expected, actual = sums
        status, detail = self._explained(table, found, expected, actual)
        lost = "the table has no key, so what applications wrote cannot be told from what was lost"
        return make_check(
            component,
            "checksum",
            table.scope,
            status,
            expected=f"{self._base.rows(table.oid):,} rows, {expected:032x}",
            actual=f"{copied.rows:,} rows, {actual:032x}",
            detail=detail,
            differences=[lost] if status is CheckStatus.FAILED else [],
        )

    def _explained(self, table: Table, found: Table, expected: int, actual: int) -> tuple[CheckStatus, str]:
        if not self._comparer.is_traceable(table, found):
            return CheckStatus.FAILED, ""
        trace = Trace(self._copier, self._base, table.oid, found, ())
        if trace.written and (left := self._writers.settled_rows(table, found)):
            return CheckStatus.FAILED, left
        written = self._comparer.written(trace, table, found)
        if not trace.missing and (expected + checksum(written)) % (1 << CHECKSUM_BITS) == actual:
            return CheckStatus.PASSED, f"identical but for {len(written):,} inserted by applications"
        if self._touched(table.oid):
            return CheckStatus.FAILED, ""
        return CheckStatus.WARNING, (
            f"{trace.missing:,} of the snapshot's rows were changed or deleted, {len(written):,} written: by applications,"
            " for the rollback had nothing to do here"
        )
