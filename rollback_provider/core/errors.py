"""Every error a user can meet, as one tree.

::

    RollbackError
    ├── ConfigurationError         the caller asked for something that makes no sense
    ├── StoreError                 the snapshot store
    │   ├── StoreUnavailableError  unreachable, credentials refused, disk full
    │   ├── NotFoundError          no such snapshot, checkpoint or rollback
    │   ├── AlreadyExistsError     somebody else created this object first
    │   ├── IntegrityError         a stored object is not what was written
    │   └── FormatVersionError     the store was written by a newer version
    ├── ComponentError             one system under migration
    │   ├── ComponentUnavailableError
    │   ├── PermissionDeniedError
    │   ├── BusyError              a lock could not be had within its budget; a retry may succeed
    │   └── UnsupportedError       cannot be reverted; says what, by name
    ├── MigrationRunningError      something still migrates the system
    ├── LockedError                another rollback owns the component
    ├── DriftError                 the system changed since the plan was approved
    ├── ConflictError              the policy says to stop at conflicts, and there are some
    ├── CertificateError           a rehearsal's certificate does not say what is demanded of it
    ├── StepFailedError            a step of the plan failed; the journal says where
    └── VerificationError          the system is not what the plan promised

Each message says what happened, to which component, what state things are in now, and what to do next.
"""

from __future__ import annotations


class RollbackError(Exception):
    """What happened, to which component, in which state that leaves things, and what to do next.

    :param what: what happened, without a closing full stop; never holds a secret
    :param component: the component's name, where one is concerned
    :param state: what is true of the system now
    :param next_step: what the reader should do
    """

    default_state = "Nothing was changed"
    default_next_step = ""

    def __init__(self, what: str, *, component: str | None = None, state: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what.rstrip(".")
        self.component = component
        self.state = (state or self.default_state).rstrip(".")
        self.next_step = (next_step or self.default_next_step).rstrip(".")

    def __str__(self) -> str:
        head = f"{self.component}: {self.what}" if self.component else self.what
        tail = f" {self.next_step}." if self.next_step else ""
        return f"{head}. {self.state}.{tail}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.component, self.state, self.next_step)


def _rebuild(kind: type[RollbackError], what: str, component: str | None, state: str, next_step: str) -> RollbackError:
    return kind(what, component=component, state=state, next_step=next_step)


class ConfigurationError(RollbackError):
    """The caller asked for something that makes no sense: a malformed specification, an unknown kind."""


class StoreError(RollbackError):
    """The snapshot store did not do what it was asked to."""


class StoreUnavailableError(StoreError):
    """The store cannot be reached, refuses the credentials, or is full."""

    default_next_step = "Check the store's URL, credentials and free space, then try again"


class NotFoundError(StoreError):
    """No snapshot, checkpoint or rollback of this name is in the store."""

    default_next_step = "List what there is: rollbackctl list"


class AlreadyExistsError(StoreError):
    """Somebody else created this object first."""


class IntegrityError(StoreError):
    """A stored object is not what was written: damaged, tampered with, or cut short."""

    default_next_step = "Do not use this snapshot; restore the store's object from a copy, or use another snapshot"


class FormatVersionError(StoreError):
    """The store or a document in it was written by a newer version of this package."""

    default_next_step = "Upgrade airflow-provider-rollback"


class ComponentError(RollbackError):
    """One system under migration did not do what it was asked to."""


class ComponentUnavailableError(ComponentError):
    """The system cannot be reached or refuses the credentials."""

    default_next_step = "Check that the system is up and that the connection is right, then try again"


class PermissionDeniedError(ComponentError):
    """A privilege is missing; the next step names it."""


class BusyError(ComponentError):
    """A lock could not be had within its budget. A retry may succeed."""

    default_next_step = "Try again when the sessions that hold the lock are done"


class UnsupportedError(ComponentError):
    """Something cannot be reverted. Refused by name before anything is changed, never skipped."""


class MigrationRunningError(RollbackError):
    """A session still migrates the system."""

    default_next_step = "Let it finish or stop it, then try again"


class LockedError(RollbackError):
    """Another rollback owns a component, or another worker executes this one."""


class DriftError(RollbackError):
    """The system changed since the plan was made, so the plan's approval no longer covers it."""

    default_next_step = "Generate the rollback again and have it approved"


class ConflictError(RollbackError):
    """The policy says to stop at conflicts, and the ledger holds some."""

    default_next_step = "Read the ledger, then generate again with the policy keep or restore"


class CertificateError(RollbackError):
    """A certificate has expired, is of another migration, database or schema, was signed with another key, or lacks a drill."""

    default_next_step = "Rehearse this migration on a new snapshot"


class StepFailedError(RollbackError):
    """A step of the plan failed. The journal says how far the rollback got; executing again continues there."""

    default_state = "The journal holds what was done"
    default_next_step = "Execute the same rollback again: it continues where it stopped"


class VerificationError(RollbackError):
    """The system is not what the plan promised; the record lists each difference."""

    default_state = "The rollback was executed; the differences are in its record"
