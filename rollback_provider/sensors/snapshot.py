"""Waits for a snapshot that can be relied on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import BaseSensorOperator, PokeReturnValue

from rollback_provider.core.errors import ConfigurationError, IntegrityError, NotFoundError
from rollback_provider.core.lookup import find_snapshot
from rollback_provider.core.model import Snapshot, utcnow
from rollback_provider.core.repository import Repository
from rollback_provider.hooks.rollback_store import DEFAULT_STORE, RollbackStoreHook
from rollback_provider.operators.base import final_errors
from rollback_provider.report.words import duration


class RollbackSnapshotSensor(BaseSensorOperator):
    """Waits until a snapshot is sealed, intact and young enough; XCom gets its id.

    Intact means that its manifest has the digest it was sealed with, and that all content it names is in the store. Fails at once where it
    is not, or where the snapshot of this id has grown too old: waiting would not mend it.

    :param snapshot_id: this snapshot
    :param migration: in its place: the newest snapshot of this migration
    :param max_age: how old it may be
    :param store: id of a ``rollback_store`` connection, or a URL
    """

    template_fields: Sequence[str] = ("store", "snapshot_id", "migration")

    def __init__(
        self,
        *,
        snapshot_id: str | None = None,
        migration: str | None = None,
        max_age: timedelta | None = None,
        store: str = DEFAULT_STORE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot_id = snapshot_id
        self.migration = migration
        self.max_age = max_age
        self.store = store

    def poke(self, context: Any) -> PokeReturnValue:
        """Looks once."""
        with final_errors():
            return self._look()

    def _look(self) -> PokeReturnValue:
        store = RollbackStoreHook(self.store).get_conn()
        try:
            snapshot = find_snapshot(Repository(store), self.snapshot_id, self.migration)
        except NotFoundError as error:
            self.log.info("%s", error.what)
            return PokeReturnValue(is_done=False)
        if not self._young(snapshot):
            return PokeReturnValue(is_done=False)
        needed = {digest for state in snapshot.components for digest in state.blobs}
        missing = needed - {blob.digest for blob in store.blobs()}
        if missing:
            raise IntegrityError(
                f"Snapshot {snapshot.id} is not whole: {len(missing)} of {len(needed)} pieces of content are missing"
            )
        self.log.info("Snapshot %s is sealed and whole (%s pieces of content)", snapshot.id, len(needed))
        return PokeReturnValue(is_done=True, xcom_value=snapshot.id)

    def _young(self, snapshot: Snapshot) -> bool:
        age = utcnow() - snapshot.created
        if self.max_age is None or age <= self.max_age:
            return True
        text = f"Snapshot {snapshot.id} is {duration(age)} old; {duration(self.max_age)} are allowed"
        if self.snapshot_id:
            raise AirflowFailException(str(ConfigurationError(text, next_step="Take a new snapshot")))
        self.log.info("%s; waiting for a newer one", text)
        return False
