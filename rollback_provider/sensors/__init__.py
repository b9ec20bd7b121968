"""Sensors on the snapshot store, on running systems after a migration, and on servers that are drained."""

from rollback_provider.sensors.certificate import RollbackCertificateSensor
from rollback_provider.sensors.drained import TrafficDrainedSensor
from rollback_provider.sensors.snapshot import RollbackSnapshotSensor
from rollback_provider.sensors.status import RollbackStatusSensor
from rollback_provider.sensors.trigger import RollbackTriggerSensor

__all__ = [
    "RollbackCertificateSensor",
    "RollbackSnapshotSensor",
    "RollbackStatusSensor",
    "RollbackTriggerSensor",
    "TrafficDrainedSensor",
]
