"""Refuses to go on without a valid certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rollback_provider.core.rehearsal.certificate import Demand, valid_certificate
from rollback_provider.core.repository import Repository, Store
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.operators.base import RollbackOperator


def demand(
    store: Store,
    migration: str,
    *,
    source: Mapping[str, Any] | None = None,
    snapshot_id: str | None = None,
    drills: Sequence[str] = (),
    key: str | None = None,
) -> Demand:
    """What a certificate must say, from what a DAG says.

    :param source: the migration's own text, as it was rehearsed
    :param key: id of a connection
    """
    from rollback_provider.rehearsal import digest_of

    return Demand(
        migration,
        digest_of(dict(source)) if source else "",
        Repository(store).snapshot(snapshot_id).components if snapshot_id else (),
        tuple(drills),
        airflow_connections(key) if key else None,
    )


class RollbackCertificateOperator(RollbackOperator):
    """Fails unless a migration has a valid certificate; XCom gets its id. ``rollback_guard(certificate=…)`` puts it before the migration.

    :param migration: the migration's name
    :param source: its own text, as :class:`~rollback_provider.operators.rehearse.RollbackTestOperator` takes it: a certificate of
        another one will not do
    :param snapshot_id: a snapshot that was just taken: a certificate of another database or schema will not do
    :param drills: names of drills that must have passed
    :param key: id of a connection that holds the key with which it must be signed; the public half will do
    :param store: id of a ``rollback_store`` connection, or a URL
    """

    template_fields: Sequence[str] = (
        *RollbackOperator.template_fields,
        "migration",
        "source",
        "snapshot_id",
        "key",
    )

    def __init__(
        self,
        *,
        migration: str,
        source: Mapping[str, Any] | None = None,
        snapshot_id: str | None = None,
        drills: Sequence[str] = (),
        key: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.migration = migration
        self.source = source
        self.snapshot_id = snapshot_id
        self.drills = drills
        self.key = key

    def run_in(self, context: Any) -> str:
        """Looks; returns the certificate's id."""
        store = self.open_store()
        wanted = demand(
            store,
            self.migration,
            source=self.source,
            snapshot_id=self.snapshot_id,
            drills=self.drills,
            key=self.key,
        )
        certificate = valid_certificate(store, wanted)
        self.log.info("Certificate %s is valid until %s", certificate.id, certificate.expires)
        return certificate.id
