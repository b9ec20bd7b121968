"""Plans with mistakes planted in them, for tests of who finds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rollback_provider.components.postgres.blocks import Block
from rollback_provider.components.postgres.lines import blocks_of, read_lines
from rollback_provider.core.base import Json
from rollback_provider.core.model import Plan
from rollback_provider.core.repository import Repository, Store, make_id
from tests.components.planted import Lapse


def planned_wrongly(store: Store, plan: Plan, lapses: Sequence[Lapse]) -> str:
    """Seals a plan like this one but for the mistakes, each of which it must have room for; gives its rollback's id."""
    document, made = plan.to_json(), set()
    for actions in _lists_of_actions(document):
        for action in list(actions):
            table = action.get("table", {})
            for lapse in lapses:
                if lapse.op != action.get("op") or lapse.table != f"{table.get('schema')}.{table.get('name')}":
                    continue
                if not lapse.key:
                    actions.remove(action)
                    made.add(lapse)
                elif _edit(action, lapse, store):
                    made.add(lapse)
    assert made == set(lapses), [lapse.what for lapse in lapses if lapse not in made]
    rollback_id = make_id("lapsed", plan.created, document)
    Repository(store).save_plan(Plan.model_validate(document | {"rollbackId": rollback_id}))
    return rollback_id


def _lists_of_actions(document: Any) -> Iterator[list[Json]]:
    if isinstance(document, dict):
        if isinstance(actions := document.get("actions"), list):
            yield actions
        for value in document.values():
            yield from _lists_of_actions(value)
    elif isinstance(document, list):
        for value in document:
            yield from _lists_of_actions(value)


def _edit(action: Json, lapse: Lapse, store: Store) -> bool:
    lines = [line for part in read_lines([Block(**block) for block in action["blocks"]], store) for line in part]
    edited = []
    for line in lines:
        if not line.startswith(lapse.key + b"\t"):
            edited.append(line)
        elif lapse.edit:
            edited.append(lapse.edit(line))
    action["blocks"] = [asdict(block) for block in blocks_of(edited, store)]
    action["rows"] = len(edited)
    return edited != lines
