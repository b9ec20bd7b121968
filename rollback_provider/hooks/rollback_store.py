"""The snapshot store behind an Airflow connection."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException
from airflow.sdk import BaseHook, get_current_context

from rollback_provider.core.component import Connection
from rollback_provider.core.errors import RollbackError, StoreUnavailableError
from rollback_provider.core.repository import Repository
from rollback_provider.hooks.connections import airflow_connections
from rollback_provider.hooks.identity import task_actor
from rollback_provider.hooks.progress import LogProgress

if TYPE_CHECKING:
    import psycopg

    from rollback_provider.store import SnapshotStore

DEFAULT_STORE = "rollback_store_default"
"""Id of the connection that is used where none is named."""


class RollbackStoreHook(BaseHook):
    """Opens the snapshot store.

    :param store: id of a connection of type ``rollback_store``, or the URL of a store (``file:///…``, ``s3://…``)
    """

    conn_name_attr: ClassVar[str] = "store"
    default_conn_name: ClassVar[str] = DEFAULT_STORE
    conn_type: ClassVar[str] = "rollback_store"
    hook_name: ClassVar[str] = "Rollback snapshot store"

    def __init__(self, store: str = DEFAULT_STORE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store = store
        self._opened: SnapshotStore | None = None

    def get_conn(self) -> SnapshotStore:
        """The store, opened once. Raises ConfigurationError, StoreUnavailableError, FormatVersionError."""
        from rollback_provider.store import open_store, store_from_connection

        if self._opened is None:
            if "://" in self.store:
                self._opened = open_store(self.store)
            else:
                self._opened = store_from_connection(with_aws_credentials(airflow_connections(self.store)))
        return self._opened

    def test_connection(self) -> tuple[bool, str]:
        """Opens the store and counts what is in it; the answer is for the connection form's Test button."""
        try:
            store = self.get_conn()
            snapshots = len(Repository(store).snapshot_ids())
        except RollbackError as error:
            return False, str(error)
        return True, f"The store at {store.url} is open; snapshots: {snapshots}"

    def migration(
        self, snapshot_id: str, component: str, *, alter: Sequence[str] = (), lock: Sequence[str] = ()
    ) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Runs a migration inside one transaction and seals the checkpoint before it commits: exact, whatever applications write.

        For use in the migrate task::

            with RollbackStoreHook().migration(snapshot_id, "orders") as connection:
                connection.execute("alter table …")

        :param snapshot_id: the snapshot that was taken before, whose component of this name is migrated
        :param component: name of the PostgreSQL component
        :param alter: tables whose definition the migration changes: nobody else reads or writes them until it has ended. One that is
            dropped, rewritten or loses a column must be named; without it any other ALTER can deadlock with applications.
        :param lock: tables of which only rows are changed: their writers wait until it has ended, readers do not. Without it an application
            that writes to the same row at the same time fails the migration.

        A deadlock or such a clash ends the transaction without a trace, so it is safe to give the task retries.
        """
        from rollback_provider.components.postgres.migration import observe

        return observe(
            self.get_conn(),
            snapshot_id,
            component,
            airflow_connections,
            LogProgress(self.log),
            actor=task_actor(get_current_context()),
            alter=alter,
            lock=lock,
        )


def with_aws_credentials(connection: Connection) -> Connection:
    """The connection, with the credentials of the AWS connection that its ``aws_conn_id`` names, if it names one.

    Roles, profiles, web identity and session tokens are resolved the way the Amazon provider does.
    """
    extra = dict(connection.extra)
    aws_conn_id = extra.pop("aws_conn_id", None)
    if not aws_conn_id:
        return replace(connection, extra=extra)
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
    from botocore.exceptions import BotoCoreError, ClientError

    airflow_connections(
        aws_conn_id
    )  # the Amazon provider would go on without credentials where there is no such connection
    hook = AwsBaseHook(aws_conn_id=aws_conn_id, client_type="s3", region_name=extra.get("region_name") or None)
    try:
        credentials = hook.get_credentials()
        settings = {
            "region_name": hook.region_name,
            "endpoint_url": hook.conn_config.get_service_endpoint_url(service_name="s3"),
            "session_token": credentials.token,
        }
    except (
        AirflowException,
        AttributeError,
        BotoCoreError,
        ClientError,
    ) as error:  # AttributeError: there are no credentials at all
        raise StoreUnavailableError(
            f"Connection {aws_conn_id!r} gives no AWS credentials ({type(error).__name__})",
            next_step=f"Correct connection {aws_conn_id!r}",
        ) from error
    given = {key: value for key, value in extra.items() if value not in (None, "")}
    return replace(
        connection,
        login=credentials.access_key,
        password=credentials.secret_key,
        extra={key: value for key, value in settings.items() if value} | given,
    )
