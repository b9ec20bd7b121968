"""What leaves the store as files: report, export."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from rollback_provider.cli.session import Session
from rollback_provider.core.component import Exportable
from rollback_provider.core.errors import ConfigurationError, UnsupportedError
from rollback_provider.core.model import Plan
from rollback_provider.core.record import load_record
from rollback_provider.core.registry import build
from rollback_provider.core.rehearsal.model import Rehearsal
from rollback_provider.core.rehearsal.run import load_rehearsal, rehearsal_ids
from rollback_provider.core.repository import Store

SCRIPT = "rollback.sql"


def report(session: Session) -> int:
    """Writes the report of a rollback or a rehearsal."""
    arguments = session.arguments
    text = _render(session.store, arguments.id, arguments.format)
    if arguments.output is None:
        if arguments.json:
            raise ConfigurationError("--json needs --output, or the report itself would be on standard output")
        sys.stdout.write(text)
        return 0
    try:
        Path(arguments.output).write_text(text, "utf-8")
    except OSError as error:
        raise ConfigurationError(f"{arguments.output} cannot be written: {error.strerror}") from error
    session.emit({"file": arguments.output}, f"Report written to {arguments.output}")
    return 0


def export(session: Session) -> int:
    """Writes a bundle that restores without this package."""
    from rollback_provider.report.runbook import runbook

    directory = Path(session.arguments.directory)
    plan = session.repository.plan(session.arguments.rollback_id)
    exports = _exports(session, plan)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise ConfigurationError(
                f"{directory} is not empty", next_step="Name a directory that is, or that does not exist"
            )
        written = [_write(directory, name, content) for name, content in exports]
        if folders := [str(PurePosixPath(name).parent) for name in written if PurePosixPath(name).name == SCRIPT]:
            written.append(_write(directory, SCRIPT, _whole_script(folders).encode()))
        record = load_record(session.store, plan.rollback_id)
        written.append(_write(directory, "runbook.md", runbook(record, written).encode()))
    except OSError as error:
        raise ConfigurationError(
            f"{directory} cannot be written: {error.strerror}", state="The bundle is incomplete; no system was touched"
        ) from error
    session.emit(
        {"directory": str(directory), "files": sorted(written)},
        f"{len(written)} files in {directory}. Begin with {directory / 'runbook.md'}",
    )
    return 0


def _render(store: Store, wanted: str, form: str) -> str:
    if wanted in rehearsal_ids(store):
        return _render_rehearsal(load_rehearsal(store, wanted), form)
    record = load_record(store, wanted)
    if form == "html":
        from rollback_provider.report.html import to_html

        return to_html(record)
    if form == "md":
        from rollback_provider.report.markdown import to_markdown

        return to_markdown(record)
    from rollback_provider.report.document import to_json

    return to_json(record)


def _render_rehearsal(rehearsal: Rehearsal, form: str) -> str:
    if form == "json":
        return json.dumps(rehearsal.to_json(), indent=2, ensure_ascii=False) + "\n"
    from rollback_provider.report.rehearsal import rehearsal_to_html, rehearsal_to_markdown

    return rehearsal_to_html(rehearsal) if form == "html" else rehearsal_to_markdown(rehearsal)


def _whole_script(folders: list[str]) -> str:
    """The script that the runbook begins with. psql has one connection, so it cannot serve several databases."""
    if len(folders) == 1:
        return f"\\cd {folders[0]}\n\\i {SCRIPT}\n"
    how = f"Run {SCRIPT} in each of these folders, in this order, with the connection of its own database"
    return f"do $$begin raise exception '{how}: {', '.join(folders)}'; end$$;\n"


def _exports(session: Session, plan: Plan) -> Iterator[tuple[str, bytes]]:
    """Files of all components, in rollback order. Refuses before the first file where one of them cannot be exported."""
    specs = {state.spec.name: state.spec for state in session.repository.snapshot(plan.snapshot_id).components}
    parts = {part.component: part for part in plan.components}
    ordered = [parts[name] for wave in plan.order for name in wave]
    components = [(build(specs[part.component], session.connections), part) for part in ordered]
    exportable = []
    for component, part in components:
        if not isinstance(component, Exportable):
            raise UnsupportedError(
                f"A plan of kind {component.kind!r} cannot be exported",
                component=part.component,
                next_step=f"Read its scripts instead: rollbackctl script {plan.rollback_id}",
            )
        exportable.append((component, part))
    return (file for component, part in exportable for file in component.export(part, session.store))


def _write(directory: Path, name: str, content: bytes) -> str:
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise ConfigurationError(f"The bundle would leave its directory: {name}")
    path = directory / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return name
