"""Kind ``unleash``: feature flags of a project of Unleash."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from itertools import pairwise
from shlex import quote
from typing import ClassVar, Literal

from pydantic import Field

from rollback_provider.clients.http import base_url
from rollback_provider.components.flags.unleash_project import Project
from rollback_provider.components.flags.unleash_stages import ENABLED, STRATEGIES, Call, call, new_flag, stages
from rollback_provider.core.component import BlobReader, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.words import plural
from rollback_provider.resources import (
    Batch,
    Change,
    Fields,
    MovedError,
    Options,
    ResourceComponent,
    State,
    parse_options,
    require_connection,
)


class UnleashOptions(Options):
    """Options of kind ``unleash``.

    :param project: id of the project
    :param flags: shell patterns of the names of flags that are captured, such as ``checkout-*``
    """

    project: str = Field(default="default", min_length=1)
    flags: tuple[str, ...] = Field(default=("*",), min_length=1)


class UnleashComponent(ResourceComponent):
    """Flags that are not archived: what they are, and in each environment whether they are on and for whom.

    An archived flag is one that is not there: to take a flag away is to archive it, to bring it back is to revive it.
    """

    kind: ClassVar[str] = "unleash"
    section: ClassVar[Literal["application"]] = "application"
    noun: ClassVar[str] = "flags"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._options = parse_options(spec, UnleashOptions)
        self._connection = require_connection(spec)

    def identity(self) -> str:
        """Names the installation by its id, wherever it is reached, and the project."""
        with self._project() as project:
            return f"unleash:{project.installation()}:{self._options.project}"

    def read(self, blobs: BlobWriter) -> State:
        """Asks for each flag; one that is archived meanwhile is left out."""
        state: State = {}
        with self._project() as project:
            for name in project.names():
                if any(fnmatchcase(name, pattern) for pattern in self._options.flags):
                    self.stop_if_cancelled()
                    fields = project.flag(name)
                    if fields is not None:
                        state[name] = fields
        return state

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Makes each change, call by call."""
        with self._project() as project:
            for done, change in enumerate(changes, start=1):
                self.stop_if_cancelled()
                name, at = change.address, project.flag(change.address)
                if at != change.now:
                    raise MovedError(f"{name} has been changed")
                if change.target is None:
                    project.archive(name)
                else:
                    at = at or self._bring_back(project, name, change.target)
                    for stage in stages(at, change.target):
                        changed = [key for key in {**at, **stage} if key.endswith(STRATEGIES)]
                        names = [key.removesuffix(STRATEGIES) for key in changed if at.get(key) != stage.get(key)]
                        ids = {environment: project.strategy_ids(name, environment) for environment in names}
                        project.do(name, call(at, stage, ids))
                        at = stage
                progress.update(f"write {self.spec.name}", done=done, total=len(changes), unit=self.noun)

    def command(self, change: Change) -> str:
        """Calls of curl; the token is in an environment variable."""
        name, target = change.address, change.target
        if target is None:
            return self._curl(Call("POST", "/archive", {"features": [name]}))
        lines, at = [], change.now
        if at is None:
            at = new_flag(target)
            create = {"name": name, **{key: at[key] for key in ("description", "type", "impressionData")}}
            lines += [
                "# if the flag is archived: revive it; otherwise create it",
                self._curl(Call("POST", "/revive", {"features": [name]})),
                self._curl(Call("POST", "/features", create)),
            ]
        for stage in stages(at, target):
            places = {
                key.removesuffix(STRATEGIES): [f"ID_OF_STRATEGY_{number}" for number, _ in enumerate(value, start=1)]
                for key, value in at.items()
                if key.endswith(STRATEGIES)
            }
            made = call(at, stage, places)
            lines.append(self._curl(made._replace(path=f"/features/{name}{made.path}")))
            at = stage
        return "\n".join(lines)

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """As many steps as the longest way of a flag has calls: the first call for each flag, the second, and so on.

        A flag is then, whenever a step ends or breaks off, at a stage that the plan knows.
        """
        with self._project() as project:
            ways = [self._way(project, change) for change in changes]
        longest = max(map(len, ways), default=0)
        for number in range(longest):
            part = [way[number] for way in ways if number < len(way)]
            title = f"Restore {plural(len(part), 'flag')} of {self._options.project}"
            yield Batch(f"{title}, call {number + 1} of {longest}" if longest > 1 else title, part)

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """What goes on and off, and when applications know."""
        notes = []
        for change in changes:
            now, target = change.now or {}, change.target or {}
            if change.target is None:
                notes.append(
                    f"{change.address}: archived, and can be revived; applications that ask for it get their default"
                )
            for key in sorted({**now, **target}):
                if key.endswith(ENABLED) and now.get(key) != target.get(key):
                    turned = "on" if target.get(key) else "off"
                    notes.append(f"{change.address}: {turned} in {key.removesuffix(ENABLED)}")
        if changes:
            notes.append(
                "applications know when they ask Unleash next: every 15 seconds, unless they are set otherwise"
            )
        return tuple(notes)

    def _way(self, project: Project, change: Change) -> list[Change]:
        """One change, as changes of one call each."""
        name, target = change.address, change.target
        if target is None:
            return [change]
        way: list[Fields | None] = [change.now]
        at = change.now
        if at is None:
            at = project.archived(name) or new_flag(target)
            way.append(at)
        way += stages(at, target)
        return [Change(name, before, after) for before, after in pairwise(way)]

    def _bring_back(self, project: Project, name: str, target: Fields) -> Fields:
        at = project.archived(name)
        if at is None:
            project.create(name, target)
            return new_flag(target)
        project.revive(name)
        return at

    def _curl(self, made: Call) -> str:
        url = f"{base_url(self.connections(self._connection))}/api/admin/projects/{self._options.project}{made.path}"
        body = f" -H 'Content-Type: application/json' -d {quote(json.dumps(made.body))}" if made.body else ""
        return f'curl -fsS -X {made.method} -H "Authorization: $UNLEASH_TOKEN" {quote(url)}{body}'

    @contextmanager
    def _project(self) -> Iterator[Project]:
        project = Project(self.spec.name, self.connections(self._connection), self._options.project)
        try:
            yield project
        finally:
            project.close()
