"""The reference component: a system that lives in this process, rolled back by a three-way merge.

A system is ``{scope: {key: {column: value}}}``, values being text or None. Options: ``system``, its name. A system made
with a password wants the component's ``connection`` to hold it.

Three states meet: `then` (the snapshot), `left` (what the migration left: the checkpoint) and `now`. What differs
between `then` and `left` is taken back, what differs between `left` and `now` is an application's and stays. Where
there is no checkpoint, `left` is the state at plan time (policy ``restore``) or the snapshot (``keep``).

Whoever adds or removes a scope changes the schema, and a plan made before does not hold any more. Rows may come, go
and change.
"""

from rollback_provider.components.memory.component import MemoryComponent
from rollback_provider.components.memory.systems import (
    Row,
    State,
    create_system,
    read_system,
    remove_system,
    write_row,
    write_system,
)

__all__ = [
    "MemoryComponent",
    "Row",
    "State",
    "create_system",
    "read_system",
    "remove_system",
    "write_row",
    "write_system",
]
