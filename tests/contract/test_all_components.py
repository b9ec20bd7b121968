"""One rollback of six systems, each a real one: its worker is killed by SIGKILL, and another one takes over."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from rollback_provider.core.base import Json
from rollback_provider.core.capturer import take_checkpoint, take_snapshot
from rollback_provider.core.executor import execute
from rollback_provider.core.model import Plan
from rollback_provider.core.planner import generate
from rollback_provider.core.undo import undo
from rollback_provider.core.verifier import verify
from rollback_provider.store import SnapshotStore, open_store
from tests.contract.faults import Fuse, FusedProgress, FusedStore
from tests.contract.shop import Known, Shop
from tests.contract.suite import EVERY_MOMENT
from tests.contract.test_dns import DnsHarness
from tests.contract.test_files import FilesHarness
from tests.contract.test_flagd import FlagdHarness
from tests.contract.test_haproxy import HaproxyHarness
from tests.contract.test_postgres import PostgresHarness
from tests.contract.test_release import ReleaseHarness
from tests.fix_postgres import Database
from tests.fix_progress import RecordedProgress
from tests.parts.forwarder import Forwarder

AFTER = {
    "settings": ["shop"],
    "release": ["shop", "settings"],
    "flags": ["release"],
    "edge": ["release"],
    "names": ["edge"],
}
ACTOR = "test"
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload([__name__])


class Deadly(Fuse):
    """Ends the whole process at the chosen moment, as the kernel does when memory is short."""

    def __init__(self, moment: int) -> None:
        super().__init__()
        self._left = count(moment - 1, -1)

    def tick(self) -> None:
        """One more moment."""
        if not next(self._left):
            os.kill(os.getpid(), signal.SIGKILL)


class BetweenSteps(FusedStore):
    """A store whose fuse ticks when a step is done, at nothing else."""

    def __init__(self, store: SnapshotStore, fuse: Fuse) -> None:
        super().__init__(store, Fuse())
        self._steps = fuse

    def create(self, name: str, document: Json) -> None:
        """Writes a document; dies right after it where it says that a step is done."""
        super().create(name, document)
        if document.get("kind") == "done":
            self._steps.tick()


def die_at(moment: int, url: str, rollback_id: str, resolve: Known) -> None:
    """Executes the rollback, in a process that dies at this moment."""
    store, fuse = open_store(url), Deadly(moment)
    if EVERY_MOMENT:
        execute(FusedStore(store, fuse), rollback_id, resolve, FusedProgress(fuse), actor=ACTOR)
    else:
        execute(BetweenSteps(store, fuse), rollback_id, resolve, RecordedProgress(), actor=ACTOR)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store that processes share."""
    return f"file://{tmp_path}/store"


@pytest.fixture
def make_shop(
    make_database: Callable[[], Database],
    haproxy: Path,
    next_backend: Callable[[], str],
    bind: Forwarder,
    next_zone: Callable[[], str],
    releases: Path,
    tmp_path: Path,
) -> Callable[[], Shop]:
    """Makes shops that are alike."""
    numbers = count(1)

    def make() -> Shop:
        root = tmp_path / f"shop-{next(numbers)}"
        root.mkdir()
        return Shop(
            {
                "shop": PostgresHarness(make_database()),
                "settings": FilesHarness(root / "settings"),
                "release": ReleaseHarness(releases, root / "srv"),
                "flags": FlagdHarness(root / "flags.json"),
                "edge": HaproxyHarness(haproxy, next_backend()),
                "names": DnsHarness(bind, next_zone()),
            },
            AFTER,
        )

    return make


def planned(shop: Shop, store: SnapshotStore) -> Plan:
    """Snapshot, migration, checkpoint, application, plan."""
    progress = RecordedProgress()
    snapshot = take_snapshot(store, "cutover", shop.specs, shop.resolve, progress, actor=ACTOR)
    shop.migrate()
    take_checkpoint(store, snapshot.id, shop.resolve, progress, actor=ACTOR)
    shop.application_write()
    return generate(store, snapshot.id, shop.resolve, progress, actor=ACTOR)


@pytest.fixture
def written(make_shop: Callable[[], Shop]) -> dict[str, object]:
    """The state that a rollback must lead to: never migrated, but written by applications."""
    shop = make_shop()
    shop.application_write()
    return shop.state()


def test_a_rollback_of_everything_is_resumed_wherever_its_worker_is_killed(
    make_shop: Callable[[], Shop], written: dict[str, object], url: str
) -> None:
    """Between every two steps; with MOMENTS=all at every write to the store and whenever progress is told, too."""
    store = open_store(url)
    for moment in count(1):
        shop = make_shop()
        plan = planned(shop, store)
        worker = processes.Process(target=die_at, args=(moment, url, plan.rollback_id, shop.resolve))
        worker.start()
        worker.join()
        if worker.exitcode == 0:
            break
        assert worker.exitcode == -signal.SIGKILL
        execute(store, plan.rollback_id, shop.resolve, RecordedProgress(), actor=ACTOR)
        assert shop.state() == written, f"killed at moment {moment}"
        assert (
            verify(store, plan.rollback_id, shop.resolve, RecordedProgress(), actor=ACTOR).execution.status
            == "verified"
        )
    assert moment > len(plan.steps)


def test_a_rollback_of_everything_is_undone(make_shop: Callable[[], Shop], url: str) -> None:
    """All systems are then as the migration and the applications had made them."""
    never_rolled_back, shop, store = make_shop(), make_shop(), open_store(url)
    never_rolled_back.migrate()
    never_rolled_back.application_write()
    plan = planned(shop, store)
    execute(store, plan.rollback_id, shop.resolve, RecordedProgress(), actor=ACTOR)
    undoing = undo(store, plan.rollback_id, shop.resolve, RecordedProgress(), actor=ACTOR)
    execute(store, undoing.rollback_id, shop.resolve, RecordedProgress(), actor=ACTOR)
    assert shop.state() == never_rolled_back.state()
    verified = verify(store, undoing.rollback_id, shop.resolve, RecordedProgress(), actor=ACTOR)
    assert verified.execution.status == "verified"
