"""Sensors on the snapshot store."""

from rollback_provider.sensors.snapshot import RollbackSnapshotSensor
from rollback_provider.sensors.status import RollbackStatusSensor

__all__ = ["RollbackSnapshotSensor", "RollbackStatusSensor"]
