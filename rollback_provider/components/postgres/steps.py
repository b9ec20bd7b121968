"""Puts a plan's parts into steps: all in one transaction where little is to be done, else a sequence that can be resumed.

The order is that of :class:`~rollback_provider.components.postgres.reversal.Reversal`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from hashlib import md5

from rollback_provider.components.postgres.actions import flat, locks_of, table_of
from rollback_provider.components.postgres.planning.planner import DataPlanner
from rollback_provider.components.postgres.reversal import Reversal, Statement
from rollback_provider.components.postgres.script import script_of
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.waiting import LAST_TURN
from rollback_provider.core.base import Json
from rollback_provider.core.model import Step

Group = tuple[str, str, Sequence[Json]]
"""Title, mode and actions of a step."""
ONE_TRANSACTION_ROWS = 10_000
"""Up to so many rows to write, or to read in a table at the end, a plan runs as one transaction; its locks are held until then."""
SHARE = "rollback.share"
"""Setting of a rehearsal's sessions: the share of the original's rows that their database holds."""
BATCH_ROWS = 10_000
"""Rows of one transaction of a larger plan. Part of the plan: whoever resumes it must count alike."""
ROWS_PER_SECOND = {
    "update": 25_000,
    "delete": 25_000,
    "insert": 40_000,
    "refill": 30_000,
    "reload": 100_000,
    "recreate": 100_000,
}
"""Measured on two cores, 15 columns of mixed types; estimates are no better than that."""
_NAME = r'(?:"(?:[^"]|"")+"|[^\s".]+)'
_INDEX = re.compile(rf"CREATE (?P<unique>UNIQUE )?INDEX (?P<name>{_NAME}) ON (?:(?P<schema>{_NAME})\.)?{_NAME} USING ")
"""An index as pg_get_indexdef prints it; one on a partitioned table says ON ONLY, and cannot be made concurrently."""
_ORDER = ("delete", "update", "insert")
_NOT_NULL = re.compile(rf"ALTER TABLE (?P<table>(?:{_NAME}\.)?{_NAME}) ALTER COLUMN (?P<column>{_NAME}) SET NOT NULL")
"""As PostgreSQL before 18 says it, which then reads the whole table unless a valid check tells that no value lacks."""
_WHAT = {
    "update": "Give changed rows their old values: {}",
    "delete": "Delete rows that the migration inserted: {}",
    "insert": "Insert rows that the migration deleted: {}",
    "refill": "Fill restored columns again: {}",
    "reload": "Bring all rows back: {}",
    "again": "Once more, for rows that others stood in the way of: {}",
    "fill": "Give rows written since a value in restored columns: {}",
}


def one_transaction_rows(session: Session) -> int:
    """Up to how many rows a plan made in this session is one transaction.

    In a rehearsal on a share of the rows it is that share of them, so that the plan has the form that it has for all rows.
    """
    row = session.execute(f"select nullif(current_setting('{SHARE}', true), '')::float8").fetchone()
    return int(ONE_TRANSACTION_ROWS * row[0]) if row and row[0] is not None else ONE_TRANSACTION_ROWS


def assemble(
    component: str, reversal: Reversal, planner: DataPlanner, sequences: Json, base: Json, at_once: int
) -> tuple[Step, ...]:
    """The steps of a plan; none where nothing differs.

    :param at_once: up to so many rows it is one transaction
    """
    prepare = [*planner.salvage(), *([_sql(reversal.prepare)] if reversal.prepare else [])]
    loads, rows = planner.loads(), planner.actions()
    again = _turns(rows)
    last: list[Json] = [{"do": "sequences", "values": sequences}] if sequences else []
    to_write = sum(action["rows"] for action in (*loads, *rows))
    if max(to_write, planner.read_at_the_end()) <= at_once:
        finish = [_sql(reversal.finish, last=True)] if reversal.finish else []
        groups: list[Group] = [
            ("Everything back, in one transaction", "transaction", [*prepare, *loads, *rows, *again, *finish, *last])
        ]
    else:
        groups = [
            ("Bring the schema back, in one short transaction", "transaction", prepare),
            *((f"Create again, with its rows: {_scope(action)}", "sequence", [action]) for action in loads),
            *((_title([action]), "sequence", [action]) for action in rows),
            (_title(again), "sequence", again),
            ("Complete the schema: constraints, indexes, views, privileges", "sequence", _finish(reversal.finish)),
            ("Set sequences", "sequence", last),
        ]
    planned = {
        f"{component}-{number:02d}": group
        for number, group in enumerate((group for group in groups if group[2]), start=1)
    }
    _refer(planned)
    return tuple(_step(component, step, title, mode, actions, base) for step, (title, mode, actions) in planned.items())


def _step(component: str, step: str, title: str, mode: str, actions: Sequence[Json], base: Json) -> Step:
    return Step(
        id=step,
        component=component,
        title=title,
        section="database",
        script=script_of(step, actions),
        payload={"mode": mode, "batch": BATCH_ROWS, "actions": list(actions), "base": base},
        locks="; ".join(dict.fromkeys(lock for action in actions for lock in locks_of(action))),
        estimate=round(
            0.05
            + sum(
                a["rows"] / ROWS_PER_SECOND[str(a.get("op", a["do"]))]
                for a in flat(actions)
                if a.get("rows") and a.get("turn", 1) == 1
            ),
            2,
        ),
    )


def _finish(statements: Sequence[Statement]) -> list[Json]:
    """Each statement for itself, so that no lock outlives it; indexes and NOT NULL without blocking writers."""
    actions: list[Json] = []
    for statement in statements:
        index = _INDEX.match(statement.sql)
        if index:
            concurrently = f"CREATE {index['unique'] or ''}INDEX CONCURRENTLY {statement.sql[index.start('name') :]}"
            schema = f"{index['schema']}." if index["schema"] else ""
            made = asdict(Statement(concurrently, transactional=False))
            actions.append({"do": "index", "index": f"{schema}{index['name']}", "statements": [made]})
        elif not_null := _NOT_NULL.fullmatch(statement.sql):
            actions.append(_checked(statement, **not_null.groupdict()))
        else:
            actions.append(_sql([statement], last=True))
    return actions


def _checked(statement: Statement, table: str, column: str) -> Json:
    """SET NOT NULL by way of a check, whose name nobody else would give."""
    name = f"rollback_{md5(f'{table}.{column}'.encode(), usedforsecurity=False).hexdigest()}"
    shared = statement.locks.replace("AccessExclusive", "ShareUpdateExclusive")
    return {
        "do": "not null",
        "table": table,
        "check": name,
        "statements": [
            asdict(
                Statement(
                    f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID", statement.locks
                )
            ),
            asdict(Statement(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}", shared)),
            asdict(statement),
            asdict(Statement(f"ALTER TABLE {table} DROP CONSTRAINT {name}", statement.locks)),
        ],
    }


def _sql(statements: Iterable[Statement], *, last: bool = False) -> Json:
    return {"do": "sql", "statements": [asdict(statement) for statement in statements], "last": last}


def _title(actions: Sequence[Json]) -> str:
    parts = flat(actions)
    if not parts:
        return ""
    what = _WHAT["again" if parts[0].get("turn", 1) > 1 else parts[0]["op"]]
    return what.format(", ".join(dict.fromkeys(map(_scope, parts))))


def _turns(rows: Sequence[Json]) -> list[Json]:
    """Has rows written in several turns; gives the actions of those after the first, of which each takes what the one before has left.

    A row that others refer to, or that needs a value that they hold, is free when these are back. What is deleted, updated and inserted
    may wait for each other in any order, so there are two more turns. What then still cannot be done is an application's doing, and only
    then listed.
    """
    tried = [action for action in rows if any(map(_is_tried, flat([action])))]
    tried.sort(key=lambda action: _ORDER.index(flat([action])[0]["op"]))
    for part in flat(tried):
        part["turn"] = 1
    later: list[Json] = []
    for turn in range(2, LAST_TURN + 1):
        again = deepcopy(tried)
        for part in flat(again):
            part["turn"] = turn
        later += again
    return later


def _is_tried(part: Json) -> bool:
    """Whether other rows may stand in its way."""
    return part["op"] in {"delete", "insert"} or bool(part.get("blockable"))


def _refer(planned: Mapping[str, Group]) -> None:
    """Tells actions of the second turn the step of the first, if that is another one."""
    steps = {
        _tried(part): step
        for step, (_, _, actions) in planned.items()
        for part in flat(actions)
        if part.get("turn") == 1
    }
    for step, (_, _, actions) in planned.items():
        for part in flat(actions):
            if part.get("turn", 1) > 1 and steps[_tried(part)] != step:
                part["after"] = steps[_tried(part)] if part["turn"] == 2 else step


def _tried(part: Json) -> tuple[str, int]:
    return part["op"], part["table"]["oid"]


def _scope(action: Json) -> str:
    return table_of(action).scope
