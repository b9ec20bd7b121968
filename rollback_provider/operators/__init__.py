"""Operators of the five steps. The wiring around a migration is :func:`rollback_provider.guard.rollback_guard`."""

from rollback_provider.operators.accept import RollbackAcceptOperator
from rollback_provider.operators.certificate import RollbackCertificateOperator
from rollback_provider.operators.checkpoint import RollbackCheckpointOperator
from rollback_provider.operators.execute import RollbackExecuteOperator
from rollback_provider.operators.generate import RollbackGenerateOperator
from rollback_provider.operators.prune import RollbackPruneOperator
from rollback_provider.operators.rehearse import RollbackTestOperator
from rollback_provider.operators.snapshot import RollbackSnapshotOperator
from rollback_provider.operators.verify import RollbackVerifyOperator

__all__ = [
    "RollbackAcceptOperator",
    "RollbackCertificateOperator",
    "RollbackCheckpointOperator",
    "RollbackExecuteOperator",
    "RollbackGenerateOperator",
    "RollbackPruneOperator",
    "RollbackSnapshotOperator",
    "RollbackTestOperator",
    "RollbackVerifyOperator",
]
