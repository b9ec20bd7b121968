"""A plan as files that restore with psql alone: one script and its data."""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.actions import flat, lines_of
from rollback_provider.components.postgres.base import Base
from rollback_provider.components.postgres.script import data_file, is_repeated
from rollback_provider.components.postgres.session import SETTINGS
from rollback_provider.core.component import BlobReader
from rollback_provider.core.model import ComponentPlan

_LEFT_OUT = frozenset({"client_encoding", "lock_timeout", "client_min_messages"})


def export_plan(plan: ComponentPlan, blobs: BlobReader) -> Iterator[tuple[str, bytes]]:
    """``<component>/rollback.sql`` and ``<component>/data/…``. Run in that folder: ``psql -X -v ON_ERROR_STOP=1 -f rollback.sql``.

    Each step is one transaction, so a run that was cut short can go on with the step after the last one that printed its name.
    """
    parts = [
        f"-- Rollback of component {plan.component}. Run here: psql -X -v ON_ERROR_STOP=1 -f rollback.sql\n",
        "\\encoding UTF8",
        *(f"set {name} = '{value}';" for name, value in SETTINGS.items() if name not in _LEFT_OUT),
    ]
    for step in plan.steps:
        alone = any(action["do"] == "index" for action in step.payload["actions"])
        body = step.script if alone else f"begin;\nset local lock_timeout = '5s';\n{step.script}\ncommit;"
        parts.append(f"\n\\echo '{step.id}: {step.title.replace(chr(39), '')}'\n{body}")
        base = Base(step.payload["base"]["rows"], step.payload["base"]["catch_up"], blobs)
        for number, action in enumerate(flat(step.payload["actions"])):
            if action["do"] in {"merge", "refill", "recreate"} and not is_repeated(action):
                content = b"".join(b"\n".join(lines) + b"\n" for lines in lines_of(action, base, blobs) if lines)
                yield f"{plan.component}/{data_file(step.id, number)}", content
    yield f"{plan.component}/rollback.sql", ("\n".join(parts) + "\n").encode()
