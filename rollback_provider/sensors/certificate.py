"""Waits for a certificate that says all that is demanded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from rollback_provider.core.errors import CertificateError, NotFoundError
from rollback_provider.core.rehearsal.certificate import valid_certificate
from rollback_provider.hooks.rollback_store import DEFAULT_STORE, RollbackStoreHook
from rollback_provider.operators.base import final_errors
from rollback_provider.operators.certificate import demand


class RollbackCertificateSensor(BaseSensorOperator):
    """Waits until a migration has a valid certificate; XCom gets its id.

    :param migration: the migration's name
    :param source: its own text, as :class:`~rollback_provider.operators.rehearse.RollbackTestOperator` takes it: a certificate of
        another one will not do
    :param snapshot_id: a snapshot that was just taken: a certificate of another database or schema will not do
    :param drills: names of drills that must have passed
    :param key: id of a connection that holds the key with which it must be signed; the public half will do
    :param store: id of a ``rollback_store`` connection, or a URL
    """

    template_fields: Sequence[str] = ("store", "migration", "source", "snapshot_id", "key")

    def __init__(
        self,
        *,
        migration: str,
        source: Mapping[str, Any] | None = None,
        snapshot_id: str | None = None,
        drills: Sequence[str] = (),
        key: str | None = None,
        store: str = DEFAULT_STORE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.migration = migration
        self.source = source
        self.snapshot_id = snapshot_id
        self.drills = drills
        self.key = key
        self.store = store

    def poke(self, context: Any) -> PokeReturnValue:
        """Looks once."""
        with final_errors():
            store = RollbackStoreHook(self.store).get_conn()
            wanted = demand(
                store,
                self.migration,
                source=self.source,
                snapshot_id=self.snapshot_id,
                drills=self.drills,
                key=self.key,
            )
            try:
                certificate = valid_certificate(store, wanted)
            except (CertificateError, NotFoundError) as error:
                self.log.info("%s", error.what)
                return PokeReturnValue(is_done=False)
        self.log.info("Certificate %s is valid until %s", certificate.id, certificate.expires)
        return PokeReturnValue(is_done=True, xcom_value=certificate.id)
