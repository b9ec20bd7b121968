"""What a rollback has done, from its journal: which transactions were committed, and what each has replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rollback_provider.components.postgres.actions import flat
from rollback_provider.components.postgres.session import Session
from rollback_provider.core.base import Json
from rollback_provider.core.errors import BusyError
from rollback_provider.core.model import ComponentPlan


@dataclass(frozen=True)
class Done:
    """The changes of a rollback.

    :param changes: as :class:`~rollback_provider.components.postgres.replaced.Replaced` has written them, in order
    :param own: transaction ids of the rows that it wrote
    :param brought_back: those of rows that it updated or inserted from the snapshot, by the table's oid there
    :param loaded: rows that tables without a key were given, by oid in the snapshot
    :param emptied: columns (oid, attnum of the snapshot) that were converted to nothing and filled again
    """

    changes: tuple[Json, ...]
    own: frozenset[int]
    brought_back: dict[int, frozenset[int]]
    loaded: dict[int, int]
    emptied: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, session: Session, plan: ComponentPlan, notes: Callable[[str], Sequence[Json]]) -> Done:
        """Reads the notes of all steps."""
        committed = [note for step in plan.steps for note in _committed(session, notes(step.id))]
        actions = [action for step in plan.steps for action in flat(step.payload["actions"])]
        brought_back: dict[int, frozenset[int]] = {}
        for note in committed:
            for change in note["replaced"]:
                if change["op"] in {"update", "insert"}:
                    known = brought_back.get(change["table"], frozenset())
                    brought_back[change["table"]] = known | _written_in(note)
        return cls(
            changes=tuple(change for note in committed for change in note["replaced"]),
            own=frozenset(xid for note in committed for xid in _written_in(note)),
            brought_back=brought_back,
            loaded={a["table"]["oid"]: a["rows"] for a in actions if a.get("op") == "reload"},
            emptied=frozenset((a["table"]["oid"], number) for a in actions for number in a.get("replaces", ())),
        )

    def of_table(self, oid: int, *ops: str) -> list[Json]:
        """The changes of these kinds to one table."""
        return [change for change in self.changes if change["table"] == oid and change["op"] in ops]


def _written_in(note: Json) -> frozenset[int]:
    """Transaction ids that rows bear which were written in a transaction or its subtransactions."""
    return frozenset({int(note["xid"]), *note["own"]})


def _committed(session: Session, notes: Sequence[Json]) -> list[Json]:
    """Notes of committed transactions: of each unit the last, and the very last one only if the server says so."""
    if not notes:
        return []
    last = notes[-1]
    row = session.execute("select pg_xact_status(%s::text::xid8)", [str(last["xid"])]).fetchone()
    if row and row[0] == "in progress":
        raise BusyError(f"Transaction {last['xid']} of the rollback has not ended", state="Nothing was changed")
    done = last["unit"] + (row is None or row[0] != "aborted")
    by_unit = {int(note["unit"]): note for note in notes if int(note["unit"]) < done}
    return [by_unit[unit] for unit in sorted(by_unit)]
