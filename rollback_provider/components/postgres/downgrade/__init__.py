"""A rollback whose first half is the downgrade of the project's own migration tool.

A downgrade loses what it was not written to keep, and the plan is approved before it runs. So what the rollback leads to does not depend
on it: each row ends as it would without the tool, by the three-way merge of snapshot, checkpoint and the rows right before the downgrade.
What the tool has done by then need not be done any more; what it has not done, or has lost, is done by the engine.
"""
