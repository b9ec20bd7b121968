"""Exit codes. Zero only where the command did what it was asked to.

====  ==========================================================================================
code  meaning
====  ==========================================================================================
0     done
1     unexpected: an error of this package, with a traceback
2     usage: a wrong option, a malformed specification, a connection that is not defined
3     not found: no snapshot, checkpoint or rollback of this id
4     store: unreachable, full, damaged, or of a newer version
5     component: unreachable, or a privilege is missing
6     busy: another rollback or worker has it, a lock could not be had, a migration still runs
7     drift: the system has changed since the plan was made
8     refused: something cannot be reverted, the policy says to stop at conflicts, or a certificate will not do
9     a step failed
10    verification failed: the system is not what the plan promised
130   interrupted by SIGINT
143   interrupted by SIGTERM
====  ==========================================================================================
"""

from __future__ import annotations

from rollback_provider.core.errors import (
    BusyError,
    CertificateError,
    ComponentError,
    ConfigurationError,
    ConflictError,
    DriftError,
    LockedError,
    MigrationRunningError,
    NotFoundError,
    RollbackError,
    StepFailedError,
    StoreError,
    UnsupportedError,
    VerificationError,
)

UNEXPECTED = 1
NOT_VERIFIED = 10
SIGNAL = 128
"""Added to the number of a signal that ended the command."""

_CODES: tuple[tuple[type[RollbackError], int], ...] = (
    (ConfigurationError, 2),
    (NotFoundError, 3),
    (StoreError, 4),
    (BusyError, 6),
    (UnsupportedError, 8),
    (ComponentError, 5),
    (LockedError, 6),
    (MigrationRunningError, 6),
    (DriftError, 7),
    (ConflictError, 8),
    (CertificateError, 8),
    (StepFailedError, 9),
    (VerificationError, NOT_VERIFIED),
)
"""The first that fits counts, so narrower errors stand before wider ones."""


def exit_code(error: BaseException) -> int:
    """The exit code that stands for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), UNEXPECTED)


def table() -> str:
    """The table above, for ``--help``."""
    rows = (__doc__ or "").split("====\n")[2].rpartition("\n====")[0]
    return f"exit codes:\n{rows}"
