"""What the triggerer waits for, so that no worker has to."""

from rollback_provider.triggers.conditions import ConditionsTrigger
from rollback_provider.triggers.drained import TrafficDrainedTrigger

__all__ = ["ConditionsTrigger", "TrafficDrainedTrigger"]
