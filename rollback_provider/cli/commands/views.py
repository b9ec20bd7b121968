"""What is in the store: list, show, script."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from rollback_provider.cli import exits
from rollback_provider.cli.session import Session
from rollback_provider.core.base import Json
from rollback_provider.core.document import Record
from rollback_provider.core.errors import IntegrityError, NotFoundError, StoreError
from rollback_provider.core.model import Snapshot, utcnow
from rollback_provider.core.record import load_record
from rollback_provider.core.rehearsal.certificate import PREFIX, Certificate
from rollback_provider.core.rehearsal.records import load_named
from rollback_provider.store import SnapshotStore, pins

if TYPE_CHECKING:
    from rich.table import Table

T = TypeVar("T")


def list_all(session: Session) -> int:
    """Lists snapshots, rollbacks and certificates. What cannot be read is listed too, and makes the exit code that of its error."""
    problems: list[StoreError] = []
    pinned = {pin.snapshot_id for pin in pins(session.store)}
    accepted = set(session.repository.accepted_ids())
    snapshots = _load_all(session.repository.snapshot_ids(), session.repository.snapshot, problems)
    rollbacks = _load_all(session.repository.rollback_ids(), lambda name: load_record(session.store, name), problems)
    certificates = _load_all(session.store.names(PREFIX), partial(_certificate, session.store), problems)
    documents = {
        "snapshots": [
            _snapshot_line(snapshot, pinned, accepted) for snapshot in sorted(snapshots, key=lambda each: each.created)
        ],
        "rollbacks": [_rollback_line(record) for record in sorted(rollbacks, key=lambda each: each.timestamp)],
        "certificates": [_certificate_line(each) for each in sorted(certificates, key=lambda each: each.created)],
        "unreadable": [str(problem) for problem in problems],
    }
    if session.arguments.json:
        session.emit(documents)
    else:
        session.emit(None, *_tables(documents))
    return exits.exit_code(problems[0]) if problems else 0


def show(session: Session) -> int:
    """Shows a snapshot or a rollback."""
    wanted = session.arguments.id
    try:
        snapshot = session.repository.snapshot(wanted)
    except NotFoundError:
        return _show_rollback(session, wanted)
    checkpoints = session.repository.checkpoints(wanted)
    acceptance = session.repository.acceptance(wanted)
    session.emit(
        {
            "snapshot": snapshot.to_json(),
            "checkpoints": [checkpoint.to_json() for checkpoint in checkpoints],
            "acceptance": acceptance.to_json() if acceptance else None,
        },
        snapshot_table(snapshot),
        f"Snapshot {snapshot.id}, taken {snapshot.created:%Y-%m-%d %H:%M:%S} UTC by {snapshot.actor} before {snapshot.migration}",
        *(f"Checkpoint {each.id}, attribution {each.attribution}" for each in checkpoints),
        *([f"Accepted {acceptance.created:%Y-%m-%d %H:%M:%S} UTC by {acceptance.actor}"] if acceptance else []),
        f"To go back: rollbackctl generate {snapshot.id}",
    )
    return 0


def script(session: Session) -> int:
    """Prints the scripts of a rollback."""
    scripts = load_record(session.store, session.arguments.rollback_id).scripts.model_dump()
    if session.arguments.json:
        session.emit(scripts)
    else:
        sys.stdout.write("\n".join(f"-- {section}\n{text}\n" for section, text in scripts.items() if text))
    return 0


def snapshot_table(snapshot: Snapshot) -> Table:
    """The components of a snapshot and what it holds of each."""
    from rollback_provider.report.words import summary

    rows = [(state.spec.name, state.spec.kind, summary(state.summary)) for state in snapshot.components]
    return make_table("Components", ("Name", "Kind", "Holds"), rows)


def _show_rollback(session: Session, wanted: str) -> int:
    try:
        record = load_record(session.store, wanted)
    except NotFoundError as error:
        raise NotFoundError(f"There is no snapshot or rollback {wanted!r} in {session.store.url}") from error
    if session.arguments.json:
        session.emit(record.to_json())
        return 0
    from rollback_provider.report.terminal import full_report

    session.emit(None, full_report(record))
    return 0


def _load_all(names: Iterable[str], load: Callable[[str], T], problems: list[StoreError]) -> list[T]:
    """Loads what can be loaded. A damaged document must not hide the others; a store that is away is another matter."""
    loaded = []
    for name in names:
        try:
            loaded.append(load(name))
        except (IntegrityError, NotFoundError) as error:
            problems.append(error)
    return loaded


def _snapshot_line(snapshot: Snapshot, pinned: set[str], accepted: set[str]) -> Json:
    return {
        "id": snapshot.id,
        "migration": snapshot.migration,
        "created": snapshot.created.isoformat(timespec="seconds"),
        "actor": snapshot.actor,
        "components": [state.spec.name for state in snapshot.components],
        "pinned": snapshot.id in pinned,
        "accepted": snapshot.id in accepted,
    }


def _rollback_line(record: Record) -> Json:
    steps = record.execution.steps
    return {
        "id": record.rollback_id,
        "migration": record.migration,
        "snapshot_id": record.snapshot.id,
        "created": record.timestamp.isoformat(timespec="seconds"),
        "actor": record.actor,
        "status": record.execution.status,
        "abandoned": record.abandoned,
        "steps": len(steps),
        "steps_done": sum(step.status == "done" for step in steps),
        "error": record.execution.error,
    }


def _certificate(store: SnapshotStore, name: str) -> Certificate:
    return load_named(store, name, Certificate, "certificate")


def _certificate_line(certificate: Certificate) -> Json:
    return {
        "id": certificate.id,
        "migration": certificate.migration,
        "component": certificate.component,
        "expires": certificate.expires.isoformat(timespec="seconds"),
        "expired": certificate.expires <= utcnow(),
        "drills": list(certificate.drills),
    }


def _tables(documents: Json) -> list[Table | str]:
    snapshots = [
        (
            line["id"],
            line["migration"],
            line["created"],
            ", ".join(line["components"]),
            ", ".join(mark for mark in ("pinned", "accepted") if line[mark]),
        )
        for line in documents["snapshots"]
    ]
    rollbacks = [
        (
            line["id"],
            line["created"],
            "abandoned" if line["abandoned"] else line["status"],
            f"{line['steps_done']} of {line['steps']}",
            line["error"],
        )
        for line in documents["rollbacks"]
    ]
    shown: list[Table | str] = []
    if snapshots:
        shown.append(make_table("Snapshots", ("Id", "Migration", "Taken", "Components", ""), snapshots))
    if rollbacks:
        shown.append(make_table("Rollbacks", ("Id", "Planned", "Status", "Steps done", "Error"), rollbacks))
    if documents["certificates"]:
        certificates = [
            (
                line["id"],
                line["migration"],
                line["component"],
                f"expired {line['expires']}" if line["expired"] else line["expires"],
                ", ".join(line["drills"]),
            )
            for line in documents["certificates"]
        ]
        headings = ("Id", "Migration", "Component", "Expires", "Drills passed")
        shown.append(make_table("Certificates", headings, certificates))
    shown += [f"unreadable: {problem}" for problem in documents["unreadable"]]
    return shown or ["The store holds no snapshot yet."]


def make_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table as all commands print them."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading == "Id")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
