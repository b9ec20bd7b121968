"""Renders a step's actions as SQL for psql: what the plan shows, and what an exported bundle runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg import sql

from rollback_provider.components.postgres.actions import flat, merge_of, table_of
from rollback_provider.components.postgres.merge import STAGE
from rollback_provider.components.postgres.multiset import delete_others, insert_missing
from rollback_provider.components.postgres.tables import loaded, name_of
from rollback_provider.components.postgres.waiting import LAST_TURN
from rollback_provider.core.base import Json


def script_of(step: str, actions: Sequence[Json]) -> str:
    """The step as a psql script. Data files are named as :func:`data_file` says."""
    return "\n".join(line for number, action in enumerate(flat(actions)) for line in _render(step, number, action))


def data_file(step: str, number: int) -> str:
    """Name of the file with the rows of a step's action, within a bundle."""
    return f"data/{step}-{number:03d}.copy"


def is_repeated(action: Json) -> bool:
    """Whether it only tries once more what the action before has tried once more: a script does without."""
    return bool(action.get("turn") == LAST_TURN)


def _render(step: str, number: int, action: Json) -> Iterator[str]:
    match action["do"]:
        case "sql" | "index" | "not null":
            yield from _statements(action["statements"])
        case "salvage":
            table = table_of(action)
            columns = ", ".join(c.name for c in table.columns if c.number in action["columns"])
            yield f"-- What was written to {table.scope} ({columns}) is listed in the ledger before it goes."
        case "sequences":
            for name, (value, called) in action["values"].items():
                yield sql.SQL("select setval({}, {}, {});").format(name, value, called).as_string()
        case "recreate":
            table = table_of(action)
            yield from _statements(action["create"])
            yield _copy(loaded(table), data_file(step, number))
            yield from _statements(action["complete"])
        case "merge" | "refill" if not is_repeated(action):
            yield from _rows(step, number, action)


def _rows(step: str, number: int, action: Json) -> Iterator[str]:
    table = table_of(action)
    merge = merge_of(action)
    staged = merge.stage() if action["op"] in {"update", "delete"} else merge.whole_stage()
    statements = {
        "update": lambda: [merge.update()],
        "delete": lambda: [merge.delete()],
        "insert": lambda: [merge.insert()],
        "refill": lambda: [merge.refill()],
        "reload": lambda: [delete_others(merge), insert_missing(merge)],
    }[action["op"]]()
    yield staged.as_string() + ";"
    yield _copy(STAGE, data_file(step, number))
    if table.row_triggers:
        yield sql.SQL("alter table only {} disable trigger user;").format(name_of(table)).as_string()
    yield from (statement.as_string() + ";" for statement in statements)
    if table.row_triggers:
        yield sql.SQL("alter table only {} enable trigger user;").format(name_of(table)).as_string()
    yield sql.SQL("drop table {};").format(STAGE).as_string()


def _copy(target: sql.Composable, file: str) -> str:
    return f"\\copy {target.as_string()} from '{file}'"


def _statements(statements: Sequence[Json]) -> Iterator[str]:
    for statement in statements:
        yield statement["sql"] + ";"
