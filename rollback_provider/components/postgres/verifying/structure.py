"""What is measured of a database beside its rows: the schema object by object, references, sequences."""

from __future__ import annotations

from collections.abc import Iterable

from rollback_provider.components.postgres.catalog import Catalog, differences
from rollback_provider.components.postgres.sequences import is_behind, sequence_values
from rollback_provider.components.postgres.session import Session
from rollback_provider.components.postgres.verifying.integrity import orphans, problems, references
from rollback_provider.core.base import Json
from rollback_provider.core.verification import Area, Check, CheckStatus

AREAS = {
    "schema": Area.STRUCTURE,
    "rows": Area.ROW_COUNTS,
    "checksum": Area.CHECKSUMS,
    "ledger": Area.CHECKSUMS,
    "sample": Area.SAMPLES,
    "foreign keys": Area.REFERENTIAL_INTEGRITY,
}
SHOWN = 100
"""Differences named in one check; the rest are counted."""


def schema_check(component: str, then: Catalog, now: Catalog) -> Check:
    """Each object that is not what it was, by name, with what differs."""
    found = differences(then, now)
    return make_check(
        component,
        "schema",
        "",
        CheckStatus.FAILED if found else CheckStatus.PASSED,
        expected=then.fingerprint(),
        actual=now.fingerprint(),
        detail=f"{len(found)} differences" if found else "the fingerprint is that of the snapshot",
        differences=found,
    )


def foreign_key_check(component: str, session: Session, then: Catalog) -> Check:
    """Each foreign key that is gone or does not hold, and the rows that lead nowhere, by key."""
    wanted = {e.name: e.facts["valid"] for e in then.entries if e.kind == "constraint" and e.facts["type"] == "f"}
    found = references(session)
    wrong = list(problems(wanted, found))
    looked_at = [found[name] for name, valid in wanted.items() if valid and name in found and found[name].enforced]
    wrong += [orphan for each in looked_at if not each.inherited for orphan in orphans(session, each)]
    idle = [f"{each.label} is not enforced: its triggers are disabled" for each in looked_at if each.disabled]
    status = CheckStatus.WARNING if idle else CheckStatus.PASSED
    return make_check(
        component,
        "foreign keys",
        "",
        CheckStatus.FAILED if wrong else status,
        expected=f"{len(wanted):,}, {sum(wanted.values()):,} of them validated",
        actual=f"{len(wanted.keys() & found.keys()):,}, {sum(found[name].valid for name in wanted if name in found):,} of them validated",
        detail=f"{len(looked_at):,} were searched for rows that lead nowhere",
        differences=[*wrong, *idle],
    )


def sequence_check(component: str, session: Session, then: Json) -> Check:
    """Each sequence that could give out a value again."""
    present = session.execute(
        "select name from unnest(%s::text[]) name where to_regclass(name) is not null", [list(then)]
    ).fetchall()
    now = sequence_values(session, [name for (name,) in present])
    found = [
        f"{name} stands at {now[name][0] if name in now else 'nothing'}, behind {value[0]}"
        for name, value in then.items()
        if name not in now or is_behind(now[name], value)
    ]
    return make_check(
        component,
        "sequences",
        "",
        CheckStatus.FAILED if found else CheckStatus.PASSED,
        expected=f"{len(then):,} at or past the snapshot's value",
        actual=f"{len(then) - len(found):,}",
        differences=found,
    )


def make_check(
    component: str,
    name: str,
    scope: str,
    status: CheckStatus,
    *,
    expected: str = "",
    actual: str = "",
    detail: str = "",
    differences: Iterable[str] = (),
) -> Check:
    """One check of a database, in the area that its name belongs to."""
    return Check(
        component=component,
        name=name,
        scope=scope,
        status=status,
        expected=expected,
        actual=actual,
        detail=detail,
        differences=tuple(differences)[:SHOWN],
        area=AREAS.get(name, Area.STATE),
    )
