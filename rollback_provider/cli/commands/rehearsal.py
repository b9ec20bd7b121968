"""Rehearsals: rehearse, certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollback_provider.cli import exits
from rollback_provider.cli.commands.views import make_table
from rollback_provider.cli.session import Session
from rollback_provider.core.base import Json
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import CertificateError
from rollback_provider.core.model import ComponentState, Policy
from rollback_provider.core.rehearsal.certificate import (
    Certificate,
    Demand,
    check,
    issue,
    load_certificate,
)
from rollback_provider.core.rehearsal.model import Rehearsal
from rollback_provider.core.rehearsal.signature import refuse_unfit
from rollback_provider.rehearsal import ALL_DRILLS, run_rehearsal

if TYPE_CHECKING:
    from rich.table import Table


def rehearse(session: Session) -> int:
    """Rehearses a migration. The exit code says whether it went well."""
    from rollback_provider.report.rehearsal import sentence

    arguments = session.arguments
    key = _key(session)
    refuse_unfit(key)
    rehearsal = run_rehearsal(
        session.store,
        arguments.snapshot_id,
        _migration(session),
        session.progress,
        actor=session.actor,
        scratch=session.connections(arguments.scratch) if arguments.scratch else None,
        size=arguments.size,
        rows=arguments.sample,
        component=arguments.component,
        drills=ALL_DRILLS if "all" in arguments.drill else arguments.drill,
        runs=arguments.runs,
        shares=arguments.share,
        policy=Policy(conflicts=arguments.conflicts, fill=dict(arguments.fill)),
        seed=arguments.seed,
        watch=session.interrupt.watch,
    )
    certificate = None
    if arguments.certify and rehearsal.proven:
        certificate = issue(session.store, rehearsal, arguments.certify, actor=session.actor, key=key)
    session.emit(
        {"rehearsal": rehearsal.to_json(), "certificate_id": certificate.id if certificate else None},
        _trials(rehearsal),
        *(f"Not covered: {line}" for line in rehearsal.uncovered),
        sentence(rehearsal),
        f"Its report: rollbackctl report {rehearsal.id}",
        *(
            [f"Certificate {certificate.id}, valid until {certificate.expires:%Y-%m-%d %H:%M} UTC"]
            if certificate
            else []
        ),
    )
    return 0 if rehearsal.proven else exits.NOT_VERIFIED


def certificate(session: Session) -> int:
    """Shows a certificate. The exit code says whether it is valid."""
    found = load_certificate(session.store, session.arguments.certificate_id)
    problem = None
    try:
        check(found, Demand(found.migration, states=_states(session), key=_key(session)))
    except CertificateError as error:
        problem = error
    session.emit(
        {"certificate": found.to_json(), "valid": problem is None, "problem": problem.what if problem else None},
        make_table("Certificate", ("", ""), _facts(found)),
        *(f"Not covered: {line}" for line in found.uncovered),
        str(problem) if problem else f"Valid until {found.expires:%Y-%m-%d %H:%M} UTC",
    )
    return exits.exit_code(problem) if problem else 0


def _key(session: Session) -> Connection | None:
    return session.connections(session.arguments.key) if session.arguments.key else None


def _states(session: Session) -> tuple[ComponentState, ...]:
    snapshot_id = session.arguments.snapshot
    return session.repository.snapshot(snapshot_id).components if snapshot_id else ()


def _migration(session: Session) -> Json:
    arguments = session.arguments
    given: Json = {
        "sql": arguments.sql,
        "alter": arguments.alter,
        "lock": arguments.lock,
        "quiet": arguments.quiet,
    }
    if arguments.function:
        given["function"] = arguments.function
    if arguments.alembic:
        given |= {"alembic": arguments.alembic, "revision": arguments.revision}
    return given


def _trials(rehearsal: Rehearsal) -> Table:
    from rollback_provider.report.rehearsal import trial_story, trial_title

    rows = [(trial.status.value, trial_title(trial), trial_story(trial)) for trial in rehearsal.trials]
    return make_table("Trials", ("Result", "Tried", "What happened"), rows)


def _facts(found: Certificate) -> list[tuple[str, str]]:
    from rollback_provider.report.rehearsal import expected

    return [
        ("Id", found.id),
        ("Migration", found.migration),
        ("Component", f"{found.component}, {found.identity}"),
        ("Issued", f"{found.created:%Y-%m-%d %H:%M} UTC by {found.actor}"),
        ("Expires", f"{found.expires:%Y-%m-%d %H:%M} UTC"),
        ("Drills passed", ", ".join(found.drills) or "none"),
        ("A rollback of all rows takes", expected(found.estimate.rollback) if found.estimate else "not measured"),
        ("Copy", f"{found.size}, {found.rows:,} rows, {found.versions.get('copy', '')}"),
        ("Engine", found.versions.get("engine", "")),
        ("Schema", found.schema_fingerprint[:16]),
        ("Migration's text", found.migration_digest[:16]),
        ("Plan", found.plan_digest[:16]),
        ("Signature", " ".join(filter(None, (found.signature.algorithm, found.signature.key)))),
    ]
