"""The memory component: what becomes of a row, and of writes that come at bad moments."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from rollback_provider.components.memory import MemoryComponent, Row, State, read_system, write_row, write_system
from rollback_provider.core.capturer import take_checkpoint, take_snapshot
from rollback_provider.core.component import Component
from rollback_provider.core.document import Record
from rollback_provider.core.errors import ComponentError
from rollback_provider.core.executor import execute
from rollback_provider.core.ledger import read_ledger
from rollback_provider.core.model import Action, ComponentSpec, Ledger, Plan, Policy, Snapshot
from rollback_provider.core.planner import generate
from rollback_provider.core.undo import undo
from rollback_provider.core.verification import CheckStatus
from rollback_provider.core.verifier import verify
from rollback_provider.store import SnapshotStore
from tests.contract.faults import Fuse, FusedProgress, FusedStore, KilledError
from tests.core.setting import ACTOR, Watched, no_connections


class Shop:
    """One system and one store."""

    def __init__(self, store: SnapshotStore, system: str) -> None:
        self.store = store
        self.system = system
        self.progress = Watched()
        self.spec = ComponentSpec(kind="memory", name="shop", options={"system": system})

    def snapshot(self) -> Snapshot:
        """Takes a snapshot."""
        return take_snapshot(self.store, "m", [self.spec], no_connections, self.progress, actor=ACTOR)

    def migrated(self, left: State) -> Snapshot:
        """Snapshot, migration to this state, checkpoint."""
        snapshot = self.snapshot()
        write_system(self.system, left)
        take_checkpoint(self.store, snapshot.id, no_connections, self.progress, actor=ACTOR)
        return snapshot

    def plan(self, snapshot: Snapshot, policy: Policy | None = None) -> Plan:
        """Makes a plan."""
        return generate(self.store, snapshot.id, no_connections, self.progress, actor=ACTOR, policy=policy)

    def execute(self, plan: Plan) -> Record:
        """Executes it."""
        return execute(self.store, plan.rollback_id, no_connections, self.progress, actor=ACTOR)

    def verify(self, plan: Plan) -> Record:
        """Verifies it."""
        return verify(self.store, plan.rollback_id, no_connections, self.progress, actor=ACTOR)

    def actions(self, ledger: Ledger) -> list[tuple[str, str]]:
        """Each entry's action and columns."""
        return [
            (entry["action"], " ".join(sorted({**(entry.get("before") or {}), **(entry.get("now") or {})})))
            for entry in read_ledger(ledger, self.store)
        ]


@pytest.fixture
def make_shop(memory_store: SnapshotStore, make_system: Callable[[State], str]) -> Callable[[State], Shop]:
    """Makes a shop in a state."""
    return lambda state: Shop(memory_store, make_system(state))


A: Row = {"v": "a", "w": "x"}
B: Row = {"v": "b", "w": "x"}
C: Row = {"v": "c", "w": "x"}

ROWS: list[tuple[str, Row | None, Row | None, Row | None, Row | None, Row | None, list[str], list[str]]] = [
    # what happened, then, left, now, then what comes of it and what is listed: keep, restore, keep, restore
    ("nothing", A, A, A, A, A, [], []),
    ("an application alone changed it", A, A, C, C, C, [], []),
    ("an application alone removed it", A, A, None, None, None, [], []),
    ("an application alone made it", None, None, C, C, C, [], []),
    ("the migration changed it", A, B, B, A, A, [], []),
    ("the migration removed it", A, None, None, A, A, [], []),
    ("the migration made it", None, B, B, None, None, [], []),
    ("both changed one value", A, B, C, C, A, ["conflict_kept v"], ["conflict_restored v"]),
    (
        "both changed it, in different columns",
        A,
        B,
        B | {"w": "y"},
        A | {"w": "y"},
        A | {"w": "y"},
        ["merged w"],
        ["merged w"],
    ),
    (
        "both changed it, one value and another",
        A,
        B,
        C | {"w": "y"},
        C | {"w": "y"},
        A | {"w": "y"},
        ["conflict_kept v"],
        ["conflict_restored v", "merged w"],
    ),
    ("an application took the migration back itself", A, B, A, A, A, [], []),
    (
        "the migration changed what an application removed",
        A,
        B,
        None,
        None,
        A,
        ["conflict_kept v w"],
        ["conflict_restored v w"],
    ),
    (
        "an application changed what the migration made",
        None,
        B,
        C,
        C,
        None,
        ["conflict_kept v w"],
        ["conflict_restored v w"],
    ),
    ("an application removed what the migration made", None, B, None, None, None, [], []),
    (
        "an application made again what the migration removed",
        A,
        None,
        C,
        C,
        A,
        ["conflict_kept v w"],
        ["conflict_restored v w"],
    ),
]


@pytest.mark.parametrize("conflicts", ["keep", "restore"])
@pytest.mark.parametrize(
    ("then", "left", "now", "kept", "restored", "kept_list", "restored_list"),
    [row[1:] for row in ROWS],
    ids=[row[0] for row in ROWS],
)
def test_what_becomes_of_a_row(
    make_shop: Callable[[State], Shop],
    conflicts: str,
    then: Row | None,
    left: Row | None,
    now: Row | None,
    kept: Row | None,
    restored: Row | None,
    kept_list: list[str],
    restored_list: list[str],
) -> None:
    def state(row: Row | None) -> State:
        return {"t": {"other": A} | ({"1": row} if row else {})}

    shop = make_shop(state(then))
    snapshot = shop.migrated(state(left))
    write_system(shop.system, state(now))
    plan = shop.plan(snapshot, Policy.model_validate({"conflicts": conflicts}))
    expected, listed = (kept, kept_list) if conflicts == "keep" else (restored, restored_list)
    assert [f"{action} {columns}" for action, columns in shop.actions(plan.ledger)] == listed
    shop.execute(plan)
    assert read_system(shop.system) == state(expected)
    assert shop.verify(plan).execution.status == "verified"


COLUMNS: State = {"t": {"1": {"name": "n1", "old": "o1"}, "2": {"name": "n2", "old": "o2"}}}


def test_columns_that_the_migration_dropped_and_added(make_shop: Callable[[State], Shop]) -> None:
    """An application's rows get the dropped column from the policy, and lose the added one to the ledger."""
    shop = make_shop(COLUMNS)
    snapshot = shop.migrated({"t": {key: {"name": row["name"], "new": "0"} for key, row in COLUMNS["t"].items()}})
    write_row(shop.system, "t", "2", {"name": "n2", "new": "7"})
    write_row(shop.system, "t", "3", {"name": "n3", "new": "9"})
    plan = shop.plan(snapshot, Policy(fill={"t.old": "none"}))
    entries = {(entry["key"]["key"], entry["action"]): entry["now"] for entry in read_ledger(plan.ledger, shop.store)}
    assert entries == {("2", "discarded"): {"new": "7"}, ("3", "discarded"): {"new": "9"}}
    write_row(shop.system, "t", "4", {"name": "n4", "new": "11"})

    record = shop.execute(plan)
    assert read_system(shop.system)["t"] == {
        "1": {"name": "n1", "old": "o1"},
        "2": {"name": "n2", "old": "o2"},
        "3": {"name": "n3", "old": "none"},
        "4": {"name": "n4", "old": "none"},
    }
    late = list(read_ledger(record.execution.ledger, shop.store))
    assert [(entry["key"], entry["action"], entry["now"]) for entry in late] == [
        ({"key": "4"}, "discarded", {"new": "11"})
    ]
    assert shop.verify(plan).execution.status == "verified"


def test_rows_of_a_scope_that_the_migration_made(make_shop: Callable[[State], Shop]) -> None:
    """The migration's go; an application's go too, and are listed, before the plan or while it waits."""
    shop = make_shop({"t": {}})
    snapshot = shop.migrated({"t": {}, "made": {"1": {"v": "a"}, "2": {"v": "a"}}})
    write_row(shop.system, "made", "2", {"v": "b"})
    plan = shop.plan(snapshot)
    assert shop.actions(plan.ledger) == [("discarded", "v")]
    write_row(shop.system, "made", "3", {"v": "c"})
    record = shop.execute(plan)
    assert read_system(shop.system) == {"t": {}}
    assert [entry["key"]["key"] for entry in read_ledger(record.execution.ledger, shop.store)] == ["3"]


def test_an_applications_scope_stays(make_shop: Callable[[State], Shop]) -> None:
    shop = make_shop({"t": {"1": A}})
    snapshot = shop.migrated({"t": {"1": B}})
    write_system(shop.system, {"t": {"1": B}, "theirs": {"1": C}})
    plan = shop.plan(snapshot)
    shop.execute(plan)
    assert read_system(shop.system) == {"t": {"1": A}, "theirs": {"1": C}}
    assert shop.verify(plan).execution.status == "verified"


def test_without_a_checkpoint_all_can_be_kept(make_shop: Callable[[State], Shop]) -> None:
    shop = make_shop({"t": {"1": A}})
    snapshot = shop.snapshot()
    write_system(shop.system, {"t": {"1": B}})
    plan = shop.plan(snapshot, Policy(ambiguous="keep"))
    assert not plan.steps
    assert plan.ledger.total() == plan.ledger.total(Action.KEPT) == 1


def test_a_write_between_plan_and_execution_wins_even_where_conflicts_are_restored(
    make_shop: Callable[[State], Shop],
) -> None:
    """Nobody has approved that it goes."""
    shop = make_shop({"t": {"1": A, "2": A}})
    snapshot = shop.migrated({"t": {"1": B, "2": B}})
    write_row(shop.system, "t", "1", C)
    plan = shop.plan(snapshot, Policy(conflicts="restore"))
    write_row(shop.system, "t", "2", {"v": "late", "w": "x"})
    record = shop.execute(plan)
    assert read_system(shop.system)["t"] == {"1": A, "2": {"v": "late", "w": "x"}}
    assert shop.actions(record.execution.ledger) == [("conflict_kept", "v")]


def test_a_row_is_never_settled_twice(make_shop: Callable[[State], Shop]) -> None:
    """The application may write, after a row was restored, just what the migration had written."""
    shop = make_shop({"t": {"1": A, "2": A}})
    plan = shop.plan(shop.migrated({"t": {"1": B, "2": B}}))
    fuse = Fuse()
    fuse.moment = 3  # the step's beginning, the first row, the second row
    with pytest.raises(KilledError):
        execute(shop.store, plan.rollback_id, no_connections, FusedProgress(fuse), actor=ACTOR)
    assert read_system(shop.system)["t"]["1"] == A
    write_row(shop.system, "t", "1", B)
    shop.execute(plan)
    assert read_system(shop.system)["t"] == {"1": B, "2": A}


def test_what_a_killed_worker_has_listed_is_not_lost(make_shop: Callable[[State], Shop]) -> None:
    shop = make_shop({"t": {"1": A, "2": A}})
    plan = shop.plan(shop.migrated({"t": {"1": B, "2": B}}))
    write_row(shop.system, "t", "1", C)
    with pytest.raises(KilledError):
        execute(shop.store, plan.rollback_id, no_connections, FusedProgress(Fuse(3)), actor=ACTOR)
    record = shop.execute(plan)
    assert shop.actions(record.execution.ledger) == [("conflict_kept", "v")]


@pytest.mark.parametrize("moment", range(1, 21))
def test_a_late_row_is_listed_once_wherever_the_worker_dies(make_shop: Callable[[State], Shop], moment: int) -> None:
    """It has no place in the snapshot and goes, so the ledger is all that is left of it."""
    shop = make_shop({})
    plan = shop.plan(shop.migrated({"made": {"1": A}}))
    write_row(shop.system, "made", "2", C)
    fuse = Fuse(moment)
    with pytest.raises(KilledError):
        execute(FusedStore(shop.store, fuse), plan.rollback_id, no_connections, FusedProgress(fuse), actor=ACTOR)
    record = shop.execute(plan)
    assert read_system(shop.system) == {}
    assert shop.actions(record.execution.ledger) == [("discarded", "v w")]


def test_verification_names_a_row_that_is_not_back(make_shop: Callable[[State], Shop]) -> None:
    shop = make_shop({"t": {"1": A, "2": A}})
    plan = shop.plan(shop.migrated({"t": {"1": B, "2": B}}))
    shop.execute(plan)
    write_row(shop.system, "t", "2", B)
    failed = [check for check in shop.verify(plan).execution.verification.checks if check.status is CheckStatus.FAILED]
    assert [(check.name, check.scope, check.differences) for check in failed] == [
        ("rows", "t", ("t/2 still holds what the migration left",))
    ]


def test_verification_names_a_scope_that_is_not_back(make_shop: Callable[[State], Shop]) -> None:
    shop = make_shop({"t": {}, "gone": {}})
    plan = shop.plan(shop.migrated({"t": {}, "made": {}}))
    shop.execute(plan)
    write_system(shop.system, {"t": {}, "made": {}})
    failed = [check for check in shop.verify(plan).execution.verification.checks if check.status is CheckStatus.FAILED]
    assert [(check.name, check.differences) for check in failed] == [("scopes", ("gone", "made"))]


def test_verification_names_a_conflict_that_was_not_restored(make_shop: Callable[[State], Shop]) -> None:
    shop = make_shop({"t": {"1": A}})
    snapshot = shop.migrated({"t": {"1": B}})
    write_row(shop.system, "t", "1", C)
    plan = shop.plan(snapshot, Policy(conflicts="restore"))
    shop.execute(plan)
    assert shop.verify(plan).execution.status == "verified"
    write_row(shop.system, "t", "1", C)
    failed = [check for check in shop.verify(plan).execution.verification.checks if check.status is CheckStatus.FAILED]
    assert [check.name for check in failed] == ["conflicts"]


def test_what_an_application_wrote_after_a_killed_worker_is_not_undone(make_shop: Callable[[State], Shop]) -> None:
    """The row had been written, the worker was killed before it could say so."""
    for moment in count(1):
        shop = make_shop({"t": {"1": A}})
        plan = shop.plan(shop.migrated({"t": {"1": B}}))
        try:
            execute(FusedStore(shop.store, Fuse(moment)), plan.rollback_id, no_connections, Watched(), actor=ACTOR)
        except KilledError:
            pass
        else:
            break
        row = read_system(shop.system)["t"]["1"]
        write_row(shop.system, "t", "1", row | {"w": "mine"})
        execute(shop.store, plan.rollback_id, no_connections, Watched(), actor=ACTOR)
        assert read_system(shop.system)["t"] == {"1": A | {"w": "mine"}}
        undoing = undo(shop.store, plan.rollback_id, no_connections, Watched(), actor=ACTOR)
        execute(shop.store, undoing.rollback_id, no_connections, Watched(), actor=ACTOR)
        assert read_system(shop.system)["t"] == {"1": B | {"w": "mine"}}, f"killed at moment {moment}"


def test_cancel_stops_between_rows(make_shop: Callable[[State], Shop]) -> None:
    shop = make_shop({"t": {"1": A, "2": A, "3": A}})
    plan = shop.plan(shop.migrated({"t": {"1": B, "2": B, "3": B}}))
    components: list[Component] = []

    def cancel() -> None:
        components[0].cancel()

    cancelling = Watched(on_update=cancel)
    with pytest.raises(ComponentError, match=r"^shop: Cancelled"):
        execute(shop.store, plan.rollback_id, no_connections, cancelling, actor=ACTOR, watch=components.append)
    assert read_system(shop.system)["t"] == {"1": A, "2": B, "3": B}
    shop.execute(plan)
    assert read_system(shop.system)["t"] == {"1": A, "2": A, "3": A}


def test_a_plan_can_be_exported(make_shop: Callable[[State], Shop]) -> None:
    shop = make_shop({"t": {"1": A, "2": A}})
    plan = shop.plan(shop.migrated({"t": {"2": B}, "made": {}}))
    component = MemoryComponent(shop.spec, no_connections)
    files = dict(component.export(plan.components[0], shop.store))
    assert files["shop/shop.001.txt"] == b"remove made"
    assert files["shop/shop.002.txt"] == b"write t/1 {'v': 'a', 'w': 'x'}\nwrite t/2 {'v': 'a', 'w': 'x'}"
