"""Sensors on the snapshot store, and on servers that are drained."""

from rollback_provider.sensors.drained import TrafficDrainedSensor
from rollback_provider.sensors.snapshot import RollbackSnapshotSensor
from rollback_provider.sensors.status import RollbackStatusSensor

__all__ = ["RollbackSnapshotSensor", "RollbackStatusSensor", "TrafficDrainedSensor"]
