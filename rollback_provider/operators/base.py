"""What all operators share: the store, the clients they can cancel, progress, who acts, and which errors are worth a retry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import BaseOperator

from rollback_provider.core.component import Component, Progress
from rollback_provider.core.errors import (
    CertificateError,
    ComponentError,
    ConfigurationError,
    ConflictError,
    DriftError,
    FormatVersionError,
    IntegrityError,
    NotFoundError,
    UnsupportedError,
)
from rollback_provider.hooks.progress import LogProgress
from rollback_provider.hooks.rollback_store import DEFAULT_STORE, RollbackStoreHook

if TYPE_CHECKING:
    from rollback_provider.store import SnapshotStore

FINAL = (
    CertificateError,
    ConfigurationError,
    ConflictError,
    DriftError,
    FormatVersionError,
    IntegrityError,
    NotFoundError,
    UnsupportedError,
)
"""Errors that a retry cannot mend: the task fails at once, whatever its ``retries``."""


@contextmanager
def final_errors() -> Iterator[None]:
    """Turns errors that a retry cannot mend into AirflowFailException, with the same message."""
    try:
        yield
    except FINAL as error:
        raise AirflowFailException(str(error)) from error


class RollbackOperator(BaseOperator):
    """Base of all operators of this package. Does no I/O before `execute`.

    :param store: id of a connection of type ``rollback_store``, or the URL of a store (``file:///…``, ``s3://…``)
    """

    template_fields: Sequence[str] = ("store",)
    ui_color: str = "#e8eef7"

    def __init__(self, *, store: str = DEFAULT_STORE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.doc_md = self.doc_md or cleandoc(str(type(self).__doc__)).partition("\n:param")[0]
        self.store = store
        self._components: list[Component] = []
        self._killed = False

    def execute(self, context: Any) -> Any:
        """Runs the operator's work, with errors that a retry cannot mend made final."""
        with final_errors():
            return self.run_in(context)

    def run_in(self, context: Any) -> Any:
        """The operator's work. Returns the id that goes to XCom."""
        raise NotImplementedError

    def on_kill(self) -> None:
        """Cancels the component call that is running; its locks are released and no further component is touched."""
        self._killed = True
        for component in self._components:
            self.log.warning("%s: the task is being stopped, cancelling", component.spec.name)
            component.cancel()

    def watch(self, component: Component) -> None:
        """Told by core of each component before it is used, so that `on_kill` can cancel it."""
        if self._killed:
            raise ComponentError(
                "The task was stopped before this component was used",
                component=component.spec.name,
                state="This component was left as it was",
                next_step="Clear the task to run it again",
            )
        self._components.append(component)

    def open_store(self) -> SnapshotStore:
        """The store; raises ConfigurationError, StoreError."""
        return RollbackStoreHook(self.store).get_conn()

    @property
    def progress(self) -> Progress:
        """Writes to the task's log."""
        return LogProgress(self.log)
