"""Lists in the ledger what applications have done to the rows of a merge."""

from __future__ import annotations

from collections.abc import Sequence

from rollback_provider.components.postgres.merge import Merge
from rollback_provider.components.postgres.session import Session
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import Action, LedgerEntry


def list_touched(
    session: Session, merge: Merge, scope: tuple[str, str], ledger: LedgerWriter, *, deleting: bool, keep: bool
) -> int:
    """Lists rows of the stage that applications have touched since, and gives the number of conflicts.

    :param scope: component and table, for the entries
    :param deleting: the stage holds rows that the migration inserted
    """
    width, columns = len(merge.key), [c.name for c in merge.columns]
    count = 0
    with session.cursor() as cursor:
        for row in cursor.stream(merge.listing()):
            key = dict(zip((c.name for c in merge.key), row[:width], strict=True))
            gone, values = row[width], row[width + 1 :]
            o, n, now = values[0 : 2 * len(columns) : 2], values[1 : 2 * len(columns) : 2], values[2 * len(columns) :]
            entry = _entry(scope, key, columns, (o, n, None if gone else now), deleting=deleting, keep=keep)
            if entry is None:
                continue
            ledger.add(entry)
            count += entry.action in {Action.CONFLICT_KEPT, Action.CONFLICT_RESTORED}
    return count


def _entry(
    scope: tuple[str, str],
    key: dict[str, str | None],
    columns: Sequence[str],
    images: tuple[Sequence[str | None], Sequence[str | None], Sequence[str | None] | None],
    *,
    deleting: bool,
    keep: bool,
) -> LedgerEntry | None:
    """The entry for one row; None where it is back already, or is not there and need not be."""
    o, n, now = images
    if now is None and deleting:
        return None
    if now is not None and not deleting and all(now[i] == o[i] for i in range(len(columns))):
        return None
    conflict = Action.CONFLICT_KEPT if keep else Action.CONFLICT_RESTORED
    base = {"component": scope[0], "scope": scope[1], "key": key}
    if deleting:
        return LedgerEntry(
            **base,
            action=conflict,
            migrated=dict(zip(columns, n, strict=True)),
            now=dict(zip(columns, now or (), strict=True)),
            reason="inserted by the migration, changed since",
        )
    changed = [i for i in range(len(columns)) if o[i] != n[i]]
    if now is None:
        action, shown, reason = Action.CONFLICT_KEPT, changed, "changed by the migration, deleted since: stays deleted"
    elif clashes := [i for i in changed if now[i] not in {n[i], o[i]}]:
        action, shown, reason = conflict, clashes, "changed by the migration and again since"
    elif all(now[i] == o[i] for i in changed):
        return None
    else:
        action, reason = Action.MERGED, "changed by the migration and, in other columns, since"
        shown = [i for i in range(len(columns)) if now[i] != n[i] or i in changed]
    return LedgerEntry(
        **base,
        action=action,
        before={columns[i]: o[i] for i in shown},
        migrated={columns[i]: n[i] for i in shown},
        now=None if now is None else {columns[i]: now[i] for i in shown},
        reason=reason,
    )
