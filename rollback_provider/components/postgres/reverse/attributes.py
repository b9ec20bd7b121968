"""Owners, privileges and comments: the same for every kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rollback_provider.components.postgres.catalog import Entry
from rollback_provider.components.postgres.catalog.kinds import KINDS
from rollback_provider.components.postgres.catalog.kinds.base import Action, Kind, Phase
from rollback_provider.components.postgres.catalog.sql_text import ident, literal
from rollback_provider.components.postgres.reversal import Statement
from rollback_provider.components.postgres.reverse.changes import Changes

Item = tuple[str, str, bool]

_HOLDS_ROWS = frozenset({"table", "sequence", "column"})


def attributes(changes: Changes, then: Entry, now: Entry | None) -> Action | None:
    """An action that brings owner, privileges and comment back.

    :param now: the object that stays; None where it is made again, by the role that runs the rollback
    """
    kind = KINDS[then.kind]
    after: dict[str, Any] = dict(now.facts) if now else _as_made(changes, then)
    statements = [
        *_owner(kind, then, after),
        *_privileges(kind, then, after),
        *_comments(kind, then, after),
    ]
    if not statements:
        return None
    of_table = then.parent is not None and changes.recreated_table((*then.parent[:2], 0))
    late = now is not None or of_table or then.kind in _HOLDS_ROWS
    rank = 960 if then.kind == "schema" else 950 if then.kind in {"table", "column"} else 940
    return Action(
        then.ref,
        then.label,
        tuple(Statement(text) for text in statements),
        aspect="attributes",
        phase=Phase.FINISH if late else Phase.PREPARE,
        rank=rank if late else kind.rank,
        needs=() if now else then.depends,
    )


def _as_made(changes: Changes, then: Entry) -> dict[str, Any]:
    """Owner and privileges that the server gives to something new, default privileges included."""
    allowed: list[Item] = []
    denied: list[Item] = []
    whose = (changes.role, KINDS[then.kind].default_acl)
    for entry in changes.default_privileges:
        if entry.name[1:] == whose and entry.name[0] in {"", then.schema}:
            allowed += _items(entry.facts.get("allowed"))
            denied += _items(entry.facts.get("denied"))
    return {"owner": changes.role, "grants": allowed, "revokes": denied}


def _owner(kind: Kind, then: Entry, after: dict[str, Any]) -> Iterator[str]:
    owner = then.facts.get("owner")
    if kind.owned and owner is not None and owner != after.get("owner") and "owned_by" not in then.facts:
        yield f"ALTER {kind.target(then)} OWNER TO {ident(owner)}"


def _privileges(kind: Kind, then: Entry, after: dict[str, Any]) -> Iterator[str]:
    if not kind.acl:
        return
    column = ident(then.name[2]) if then.kind == "column" else ""
    on = kind.granted(then)
    yield from _difference(on, column, then.facts, after)
    before_columns, after_columns = then.facts.get("column_grants", {}), after.get("column_grants", {})
    for name in sorted(before_columns.keys() | after_columns.keys()):
        yield from _difference(
            on, ident(name), {"grants": before_columns.get(name)}, {"grants": after_columns.get(name)}
        )


def _difference(on: str, column: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    allowed, denied = _items(before.get("grants")), _items(before.get("revokes"))
    allowed_now, denied_now = _items(after.get("grants")), _items(after.get("revokes"))
    for who, what, _ in _without(allowed_now, allowed) + _without(denied, denied_now):
        yield f"REVOKE {what}{f' ({column})' if column else ''} ON {on} FROM {_role(who)}"
    for who, what, again in _without(allowed, allowed_now) + _without(denied_now, denied):
        yield f"GRANT {what}{f' ({column})' if column else ''} ON {on} TO {_role(who)}{' WITH GRANT OPTION' if again else ''}"


def _comments(kind: Kind, then: Entry, after: dict[str, Any]) -> Iterator[str]:
    comment = then.facts.get("comment")
    if comment != after.get("comment"):
        yield f"COMMENT ON {kind.target(then)} IS {_text(comment)}"
    before_columns, after_columns = then.facts.get("column_comments", {}), after.get("column_comments", {})
    for name in sorted(before_columns.keys() | after_columns.keys()):
        if before_columns.get(name) != after_columns.get(name):
            yield f"COMMENT ON COLUMN {ident(*then.name, name)} IS {_text(before_columns.get(name))}"


def _text(comment: str | None) -> str:
    return "NULL" if comment is None else literal(comment)


def _items(value: Iterable[Any] | None) -> list[Item]:
    return [(who, what, again) for who, what, again in value or ()]


def _without(items: list[Item], others: list[Item]) -> list[Item]:
    return [item for item in items if item not in others]


def _role(name: str) -> str:
    return ident(name) if name else "PUBLIC"
