"""Pruning: what goes, what stays whatever the rules say, and what a crash in its middle leaves."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rollback_provider.core import lock
from rollback_provider.core.errors import ConfigurationError, IntegrityError, NotFoundError, StoreError
from rollback_provider.core.journal import Journal
from rollback_provider.core.model import (
    Acceptance,
    Attribution,
    Checkpoint,
    ComponentPlan,
    ComponentSpec,
    ComponentState,
    Ledger,
    Plan,
    Policy,
    Snapshot,
    StepOutcome,
    utcnow,
)
from rollback_provider.core.repository import Repository, make_id
from rollback_provider.core.verification import CheckStatus, Verification
from rollback_provider.store import SnapshotStore, open_store, pin, pins, prune, unpin
from tests.fix_store import StoreCase

NOW = timedelta()
"""A grace period for tests: nothing else writes to their stores."""


class Archive:
    """Fills a store with migrations that were rolled back, and checks that what is left hangs together."""

    def __init__(self, store: SnapshotStore) -> None:
        self.store = store
        self.repository = Repository(store)

    def state(self, content: str) -> ComponentState:
        """A component's state with one blob of this content."""
        blob = self.store.put_blob(content.encode())
        spec = ComponentSpec(kind="memory", name="orders")
        return ComponentState(spec=spec, identity="db", captured=utcnow(), payload={}, blobs=(blob.digest,))

    def snapshot(self, migration: str, days: float, content: str) -> Snapshot:
        """Seals a snapshot that is so many days old."""
        draft = Snapshot(
            id="",
            migration=migration,
            created=utcnow() - timedelta(days=days),
            actor="t",
            components=(self.state(content),),
        )
        snapshot = draft.model_copy(update={"id": make_id(migration, draft.created, draft.to_json())})
        self.repository.save_snapshot(snapshot)
        return snapshot

    def checkpoint(self, snapshot: Snapshot, content: str) -> Checkpoint:
        """Seals a checkpoint, an hour younger."""
        draft = Checkpoint(
            id="",
            snapshot_id=snapshot.id,
            created=snapshot.created + timedelta(hours=1),
            actor="t",
            attribution=Attribution.QUIET,
            components=(self.state(content),),
        )
        checkpoint = draft.model_copy(update={"id": make_id("checkpoint", draft.created, draft.to_json())})
        self.repository.save_checkpoint(checkpoint)
        return checkpoint

    def plan(self, snapshot: Snapshot, content: str) -> Plan:
        """Seals a plan, two hours younger than the snapshot."""
        planned, listed = (
            self.store.put_blob(f"{content} plan".encode()),
            self.store.put_blob(f"{content} ledger".encode()),
        )
        draft = Plan(
            rollback_id="",
            snapshot_id=snapshot.id,
            checkpoint_id=None,
            migration=snapshot.migration,
            created=snapshot.created + timedelta(hours=2),
            actor="t",
            attribution=Attribution.UNKNOWN,
            policy=Policy(),
            components=(ComponentPlan(component="orders", fingerprint="f", steps=(), blobs=(planned.digest,)),),
            order=(("orders",),),
            ledger=Ledger(blobs=(listed,)),
        )
        plan = draft.model_copy(update={"rollback_id": make_id("rollback", draft.created, draft.to_json())})
        self.repository.save_plan(plan)
        return plan

    def execute(self, plan: Plan, content: str, *closing: str) -> Journal:
        """Journals one step, with a ledger in its outcome and a blob in a note, then each of `closing`."""
        found, noted = self.store.put_blob(f"{content} found".encode()), self.store.put_blob(f"{content} note".encode())
        journal = Journal(self.store, plan.rollback_id)
        journal.append("begin")
        journal.append("intent", step="1")
        journal.append("note", step="1", data={"where": f"block:{noted.digest}"})
        journal.append("done", step="1", data=StepOutcome(changed=True, ledger=Ledger(blobs=(found,))).to_json())
        journal.append("executed")
        for kind in closing:
            status = CheckStatus.FAILED if kind == "failed" else CheckStatus.PASSED
            data = {} if kind == "abandoned" else Verification(status=status).to_json()
            journal.append("abandoned" if kind == "abandoned" else "verified", data=data)
        return journal

    def complete(self, migration: str, days: float, *closing: str) -> Snapshot:
        """A snapshot with everything that can belong to one; its content is its own."""
        content = f"{migration} {days}"
        snapshot = self.snapshot(migration, days, content)
        self.checkpoint(snapshot, f"{content} checkpoint")
        self.execute(self.plan(snapshot, content), content, *(closing or ("passed",)))
        self.repository.save_acceptance(Acceptance(snapshot_id=snapshot.id, created=utcnow(), actor="t"))
        return snapshot

    def blobs(self) -> set[str]:
        """The contents of all blobs."""
        return {self.store.get_blob(blob.digest).decode() for blob in self.store.blobs()}

    def check(self) -> None:
        """Every document can be read, and all that it refers to is there."""
        for snapshot_id in self.repository.snapshot_ids():
            self.check_states(self.repository.snapshot(snapshot_id))
            for checkpoint in self.repository.checkpoints(snapshot_id):
                self.check_states(checkpoint)
        for rollback_id in self.repository.rollback_ids():
            plan = self.repository.plan(rollback_id)
            self.repository.snapshot(plan.snapshot_id)
            journal = Journal(self.store, rollback_id)
            assert [event.number for event in journal.events] == list(range(1, len(journal.events) + 1))
            digests = [ref.digest for ref in plan.ledger.blobs] + [d for part in plan.components for d in part.blobs]
            for event in journal.events:
                if event.kind == "done":
                    digests += [ref.digest for ref in StepOutcome.model_validate(event.data).ledger.blobs]
                if event.kind == "note":
                    digests.append(event.data["where"].removeprefix("block:"))
            for digest in digests:
                self.store.get_blob(digest)

    def check_states(self, record: Snapshot | Checkpoint) -> None:
        """Every blob of the record can be read."""
        for state in record.components:
            for digest in state.blobs:
                self.store.get_blob(digest)


@pytest.fixture
def archive(store: SnapshotStore) -> Archive:
    return Archive(store)


@pytest.fixture
def file_archive(file_store: SnapshotStore) -> Archive:
    return Archive(file_store)


def contents(name: str) -> set[str]:
    return {f"{name}{part}" for part in ("", " checkpoint", " plan", " ledger", " found", " note")}


def test_what_no_rule_keeps_goes_with_all_that_belongs_to_it(archive: Archive) -> None:
    old, new, other = archive.complete("a", 30), archive.complete("a", 20), archive.complete("b", 40)
    shared = archive.snapshot("a", 10, "a 30 plan")  # the same content as a blob of the old one's
    report = prune(archive.store, keep_last=2, grace=NOW)
    assert report.snapshots == (old.id,)
    assert (len(report.checkpoints), len(report.rollbacks), report.documents) == (1, 1, 1 + 1 + 1 + 6 + 1)
    assert {kept.id: kept.reasons for kept in report.kept} == {
        each.id: (f"among the last {2}",) for each in (new, other, shared)
    }
    assert set(archive.repository.snapshot_ids()) == {new.id, other.id, shared.id}
    assert archive.blobs() == contents("a 20") | contents("b 40") | {"a 30 plan"}
    assert report.blobs == 5
    assert report.bytes > 0
    archive.check()
    assert not [name for name in archive.store.names("") if old.id in name or report.rollbacks[0] in name]


def test_a_dry_run_says_the_same_and_changes_nothing(archive: Archive) -> None:
    archive.complete("a", 30)
    archive.complete("a", 20)
    before = list(archive.store.names("")), archive.blobs()
    dry = prune(archive.store, keep_last=1, grace=NOW, dry_run=True)
    assert (list(archive.store.names("")), archive.blobs()) == before
    assert dry.dry_run
    done = prune(archive.store, keep_last=1, grace=NOW)
    assert done == dry.model_copy(update={"dry_run": False})
    assert done.snapshots
    assert prune(archive.store, keep_last=1, grace=NOW).documents == 0


def test_without_a_rule_nothing_is_removed(file_archive: Archive) -> None:
    file_archive.complete("a", 30)
    before = list(file_archive.store.names(""))
    with pytest.raises(ConfigurationError, match="No retention rule"):
        prune(file_archive.store, grace=NOW)
    with pytest.raises(ConfigurationError, match="negative"):
        prune(file_archive.store, keep_last=1, grace=timedelta(days=-1))
    assert list(file_archive.store.names("")) == before


def test_a_pinned_snapshot_stays_until_it_is_unpinned(archive: Archive) -> None:
    old, new = archive.complete("a", 30), archive.complete("a", 20)
    pin(archive.store, old.id, actor="ada", reason="audit")
    pin(archive.store, old.id, actor="bob")
    assert [(each.snapshot_id, each.actor, each.reason) for each in pins(archive.store)] == [(old.id, "ada", "audit")]
    report = prune(archive.store, keep_last=1, grace=NOW)
    assert report.documents == 0
    assert report.kept[0].reasons == ("pinned by ada",)
    unpin(archive.store, old.id)
    unpin(archive.store, old.id)
    assert prune(archive.store, keep_last=1, grace=NOW).snapshots == (old.id,)
    assert archive.repository.snapshot_ids() == [new.id]


def test_only_what_is_there_can_be_pinned(file_archive: Archive) -> None:
    with pytest.raises(NotFoundError, match="nothing"):
        pin(file_archive.store, "nothing", actor="ada")
    assert pins(file_archive.store) == []


@pytest.mark.parametrize(
    ("closing", "is_open"),
    [
        ((), True),
        (("failed",), True),
        (("passed", "failed"), True),
        (("failed", "passed"), False),
        (("abandoned",), False),
    ],
    ids=["executed", "verification failed", "failed the second time", "passed the second time", "abandoned"],
)
def test_an_open_rollback_keeps_its_snapshot(file_archive: Archive, closing: tuple[str, ...], *, is_open: bool) -> None:
    old = file_archive.snapshot("a", 30, "old")
    plan = file_archive.plan(old, "old")
    file_archive.execute(plan, "old", *closing)
    file_archive.snapshot("a", 20, "new")
    report = prune(file_archive.store, keep_last=1, grace=NOW)
    assert report.snapshots == (() if is_open else (old.id,))
    if is_open:
        assert report.kept[0].reasons == (
            f"rollback {plan.rollback_id} has begun and is neither verified nor abandoned",
        )
        file_archive.check()


def test_a_rollback_that_has_only_begun_keeps_its_snapshot(file_archive: Archive) -> None:
    """It owns its components from here on, before it has done a step."""
    old = file_archive.snapshot("a", 30, "old")
    plan = file_archive.plan(old, "old")
    file_archive.snapshot("a", 20, "new")
    journal = Journal(file_archive.store, plan.rollback_id)
    journal.append("begin")
    lock.acquire(file_archive.store, "db", plan.rollback_id, "orders")
    assert prune(file_archive.store, keep_last=1, grace=NOW).snapshots == ()
    assert lock.owner_of(file_archive.store, "db") == plan.rollback_id
    journal.append("refused")
    assert prune(file_archive.store, keep_last=1, grace=NOW).snapshots == (old.id,)
    assert lock.owner_of(file_archive.store, "db") is None
    lock.acquire(file_archive.store, "db", "another", "orders")


def test_nothing_within_the_grace_period_goes(file_archive: Archive) -> None:
    """A migration may be running, an approval pending, a capture not sealed yet."""
    young, approved = file_archive.snapshot("a", 1, "young"), file_archive.snapshot("a", 30, "approved")
    finished = file_archive.snapshot("a", 31, "finished")
    plan, done = file_archive.plan(approved, "approved"), file_archive.plan(finished, "finished")
    file_archive.execute(done, "finished", "passed")
    file_archive.snapshot("a", 0, "newest")
    file_archive.store.put_blob(b"not sealed yet")
    report = prune(file_archive.store, keep_last=1, grace=timedelta(days=30))
    assert report.documents == report.blobs == 0
    reasons = {kept.id: kept.reasons for kept in report.kept}
    assert reasons[young.id] == ("within the grace period",)
    assert reasons[approved.id] == (f"rollback {plan.rollback_id} is within the grace period",)
    assert reasons[finished.id] == (f"rollback {done.rollback_id} is within the grace period",)
    assert "not sealed yet" in file_archive.blobs()


def test_garbage_is_swept_once_it_is_old(file_archive: Archive, tmp_path: Path) -> None:
    for name in ("old garbage", "young garbage"):
        file_archive.store.put_blob(name.encode())
    old = next(b.digest for b in file_archive.store.blobs() if file_archive.store.get_blob(b.digest) == b"old garbage")
    leftover = tmp_path / "store" / "snapshots" / "one#42"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    past = (utcnow() - timedelta(days=5)).timestamp()
    for path in (tmp_path / "store" / "blobs" / old[:2] / old, leftover):
        os.utime(path, (past, past))
    report = prune(file_archive.store, keep_last=1)
    assert (report.blobs, report.leftovers) == (1, 1)
    assert file_archive.blobs() == {"young garbage"}
    assert not leftover.exists()


def test_a_blob_put_again_after_it_was_listed_stays(file_archive: Archive) -> None:
    """A capture meets an old blob that is about to be swept, and relies on it."""
    store = file_archive.store
    digest = store.put_blob(b"used again").digest
    assert not store.delete_blob(digest, unless_after=utcnow() - timedelta(minutes=1))
    assert store.get_blob(digest) == b"used again"
    assert store.delete_blob(digest, unless_after=utcnow())
    assert not store.delete_blob(digest, unless_after=utcnow())


def test_a_damaged_document_stops_the_sweep(archive: Archive, store_case: StoreCase) -> None:
    old, _ = archive.complete("a", 30), archive.complete("a", 20)
    sealed = store_case.get(f"snapshots/{old.id}")
    store_case.put(f"snapshots/{old.id}", sealed.replace(b'"actor":"t"', b'"actor":"x"'))
    before = archive.blobs()
    with pytest.raises(IntegrityError, match=old.id):
        prune(archive.store, keep_last=1, grace=NOW)
    assert archive.blobs() == before
    assert store_case.get(f"snapshots/{old.id}") != sealed


class Crash(BaseException):
    """The worker dies here."""


class Mortal(SnapshotStore):
    """A store whose process dies at its n-th removal."""

    def __init__(self, store: SnapshotStore, removals: int) -> None:
        super().__init__(store._objects)  # the fault is put in below the store
        self.left = removals

    def _count(self) -> None:
        if self.left == 0:
            raise Crash
        self.left -= 1

    def delete(self, name: str) -> None:
        """Removes a document, or dies."""
        self._count()
        super().delete(name)

    def delete_blob(self, digest: str, **options: Any) -> bool:
        """Removes a blob, or dies."""
        self._count()
        return super().delete_blob(digest, **options)


def test_a_crash_at_any_point_leaves_a_sound_store() -> None:
    for removals in range(100):
        archive = Archive(open_store(f"memory://crash-{removals}"))
        old, new = archive.complete("a", 30), archive.complete("a", 20)
        archive.plan(old, "second plan")
        try:
            prune(Mortal(archive.store, removals), keep_last=1, grace=NOW)
        except Crash:
            crashed = True
        else:
            crashed = False
        archive.check()
        if old.id in archive.repository.snapshot_ids():
            assert len(archive.repository.checkpoints(old.id)) == 1
        for rollback_id in archive.repository.rollback_ids():
            if archive.repository.plan(rollback_id).ledger.blobs and Journal(archive.store, rollback_id).events:
                assert len(Journal(archive.store, rollback_id).events) == 6
        prune(archive.store, keep_last=1, grace=NOW)
        assert archive.repository.snapshot_ids() == [new.id]
        assert archive.blobs() == contents("a 20")
        assert len(list(archive.store.names(""))) == 1 + 1 + 1 + 1 + 6 + 1
        archive.check()
        if not crashed:
            assert removals > 15
            return
    pytest.fail("the prune never came to its end")


def test_the_report_is_json(file_archive: Archive) -> None:
    file_archive.complete("a", 30)
    report = prune(file_archive.store, keep_last=1, grace=NOW, dry_run=True)
    assert json.loads(json.dumps(report.to_json()))["dryRun"] is True


def test_a_store_that_fails_stops_the_prune(file_archive: Archive, tmp_path: Path) -> None:
    file_archive.complete("a", 30)
    (tmp_path / "store" / "pins").write_text("in the way")
    with pytest.raises(StoreError):
        prune(file_archive.store, keep_last=1, grace=NOW)
