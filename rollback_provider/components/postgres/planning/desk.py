"""What a plan is made from, and the desk at which it is made: session, store, ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from psycopg import sql

from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.copier import Copier
from rollback_provider.components.postgres.horizon import Horizon
from rollback_provider.components.postgres.images import TableDelta
from rollback_provider.components.postgres.lines import contents
from rollback_provider.components.postgres.merge import STAGE, Merge
from rollback_provider.components.postgres.reversal import Reversal, TableChange
from rollback_provider.components.postgres.reverse import Labels, Retyped
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.tables import Table
from rollback_provider.core.component import Blobs, Progress
from rollback_provider.core.errors import ConflictError
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import Action, LedgerEntry, Policy

Values = dict[str, str | None]


@dataclass(frozen=True)
class Situation:
    """What a plan is made from.

    :param since: horizon of the checkpoint: what was written after it is an application's
    :param attributed: false where there is no checkpoint, so that every change since the snapshot is ambiguous
    :param untold: tables, by oid in the snapshot, of which the checkpoint cannot tell it either
    :param retyped: columns that the migration gave another type, or whose labels it renamed, by oid and attnum in the snapshot
    :param unconvertible: those of them whose values now cannot be cast back; they are emptied and filled again
    :param traceable: rows that were not written since that horizon are as the checkpoint saw them: same database, same schema
    :param rows: of these tables, by oid in the snapshot, only rows that a predicate chooses
    :param loaded: where a rollback is undone: the rows that it went back to
    """

    base: Base
    deltas: dict[int, TableDelta]
    reversal: Reversal
    retyped: dict[tuple[int, int], Retyped]
    unconvertible: frozenset[tuple[int, int]]
    since: Horizon
    attributed: bool
    policy: Policy
    traceable: bool = False
    rows: dict[int, str] = field(default_factory=dict)
    loaded: Base | None = None
    untold: frozenset[int] = frozenset()

    def attributes(self, oid: int) -> bool:
        """Whether it is known which changes of a table of the snapshot are the migration's."""
        return self.attributed and oid not in self.untold

    def labels(self, oid: int) -> dict[int, Labels]:
        """Labels that have been renamed, by attnum of the columns of a table of the snapshot."""
        return {number: r.labels for (table, number), r in self.retyped.items() if table == oid and r.labels}

    def horizon_of(self, delta: TableDelta, now: Table) -> Horizon | None:
        """The moment since when rows of a table are what its delta says unless they have been written; None where that is not known."""
        read = (delta.xmin, delta.now.oid, delta.now.filenode) == (self.since.xmin, now.oid, now.filenode)
        return self.since if self.traceable and read else None


@dataclass
class Desk:
    """What everybody who works on a plan shares.

    :param refusals: what cannot be taken back, each by name
    :param conflicts: rows that the migration and applications have both changed
    """

    component: str
    session: Session
    copier: Copier
    situation: Situation
    blobs: Blobs
    ledger: LedgerWriter
    progress: Progress
    refusals: list[str] = field(default_factory=list)
    conflicts: int = 0

    def stage(self, merge: Merge, create: sql.Composed, lines: Iterable[bytes]) -> int:
        """Makes the stage of a merge anew with these rows; gives their number."""
        rows = 0
        self.session.execute(sql.SQL("drop table if exists {}").format(STAGE))
        self.session.execute(create)
        with self.session.cursor().copy(sql.SQL("copy {} from stdin").format(STAGE)) as copy:
            for content in contents(lines):
                rows += content.count(b"\n")
                copy.write(content)
        self.session.execute(merge.index())
        return rows

    def read(self, query: sql.Composed) -> Iterator[bytes]:
        """Lines of a query's result."""
        with self.session.cursor().copy(sql.SQL("copy ({}) to stdout").format(query)) as copy:
            for row in copy:
                yield bytes(row)[:-1]

    def refuse_ambiguous(self, change: TableChange) -> None:
        """Raises ConflictError where the policy does not allow changes that nothing attributes."""
        if self.situation.policy.ambiguous == "fail":
            raise ConflictError(
                f"{change.then.scope} was changed since the snapshot, and no checkpoint tells by whom",
                component=self.component,
                next_step="Read what was changed, then generate again with the policy ambiguous restore or keep",
            )

    def list_ambiguous(
        self, change: TableChange, key: Values, before: Values | None, now: Values | None, reason: str
    ) -> None:
        """Lists a change that nothing attributes."""
        self.ledger.add(
            LedgerEntry(
                component=self.component,
                scope=change.then.scope,
                action=Action.AMBIGUOUS,
                key=key,
                before=before,
                now=now,
                reason=reason,
            )
        )
