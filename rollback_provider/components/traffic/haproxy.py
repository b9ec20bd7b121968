"""Kind ``haproxy``: servers and sticky sessions of HAProxy's backends, by its runtime API."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from rollback_provider.components.traffic.haproxy_socket import RuntimeApi
from rollback_provider.core.base import Json
from rollback_provider.core.component import BlobReader, Blobs, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.ledger import LedgerWriter
from rollback_provider.core.model import ComponentPlan, ComponentSpec, ComponentState, Policy
from rollback_provider.core.verification import Check, CheckStatus
from rollback_provider.core.words import plural
from rollback_provider.resources import (
    Batch,
    Change,
    Fields,
    Options,
    ResourceComponent,
    State,
    parse_options,
    require_connection,
)

_KEY = "key "
_LOOK = 0.1
"""Seconds between two looks at a server that is drained."""
_RELOADED = (
    "HAProxy was reloaded or restarted since the {since}: servers and sticky sessions are what its configuration says, "
    "or its server-state-file, and not what they were set to before"
)


class HaproxyOptions(Options):
    """Options of kind ``haproxy``.

    :param backends: names of the backends whose servers and stick tables are captured
    :param drain_seconds: how long a rollback waits, for each server that it takes out, until the sessions there have ended; what
        is left then is cut off
    :param server_arguments: arguments for servers that come back after they were deleted at run time, by backend: ``check maxconn 100``
    """

    backends: tuple[str, ...] = Field(min_length=1)
    drain_seconds: float = Field(default=30.0, ge=0)
    server_arguments: dict[str, str] = Field(default_factory=dict)


class HaproxyComponent(ResourceComponent):
    """Servers (state, weight, address, port), and whom their sticky sessions belong to.

    Addresses: ``web/s1`` is server s1 of backend web, ``web/key ada`` the entry of its stick table whose key is ada.
    """

    kind: ClassVar[str] = "haproxy"
    section: ClassVar[Literal["infrastructure"]] = "infrastructure"
    noun: ClassVar[str] = "servers and sticky sessions"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._options = parse_options(spec, HaproxyOptions)
        self._connection = require_connection(spec)

    def identity(self) -> str:
        """Names the socket, and the machine where it is a path."""
        connection = self.connections(self._connection)
        host = (
            f"{connection.host}:{connection.port}" if connection.port else f"{socket.gethostname()}:{connection.host}"
        )
        return f"haproxy:{host}:{','.join(sorted(self._options.backends))}"

    def read(self, blobs: BlobWriter) -> State:
        """Asks for the servers and the stick table of each backend."""
        api = self._api()
        api.require_admin()
        state: State = {}
        for backend in self._options.backends:
            for server in api.servers(backend):
                state[f"{backend}/{server.name}"] = {
                    "state": server.state,
                    "weight": server.weight,
                    "address": server.address,
                    "port": server.port,
                }
            for key, name in api.stuck(backend).items():
                state[f"{backend}/{_KEY}{key}"] = {"server": name}
        return state

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Makes each change; a server that is to take no more requests is drained first."""
        api = self._api()
        users: dict[str, dict[str, str]] = {}
        for done, change in enumerate(changes, start=1):
            self.stop_if_cancelled()
            backend, _, name = change.address.partition("/")
            if name.startswith(_KEY):
                key = name.removeprefix(_KEY)
                if change.target is None:
                    api.unstick(backend, key)
                else:
                    users.setdefault(backend, {})[key] = change.target["server"]
            else:
                if _cuts(change):
                    self._drain(api, backend, name, progress)
                for command, *said in self._commands(change):
                    api.do(command, *said)
            progress.update(f"write {self.spec.name}", done=done, total=len(changes), unit="changes")
        for backend, wanted in users.items():
            api.stick(backend, wanted)

    def command(self, change: Change) -> str:
        """Commands for the stats socket."""
        backend, _, name = change.address.partition("/")
        if name.startswith(_KEY):
            key = name.removeprefix(_KEY)
            if change.target is None:
                return f"clear table {backend} key {key}"
            server = change.target["server"]
            return f"clear table {backend} key {key}\nset table {backend} key {key} data.server_id <id of {server}>"
        lines = [command for command, *_ in self._commands(change)]
        if _cuts(change):
            lines = [
                f"set server {change.address} state drain",
                f"# wait until `show stat` has no sessions of it, at most {self._options.drain_seconds:g} seconds",
                *lines,
            ]
        return "\n".join(lines)

    def is_underway(self, change: Change, now: Fields | None) -> bool:
        """A server that goes is drained first, one that comes begins in maintenance."""
        if now is None:
            return False
        passing = {"maint"} if change.now is None else {"drain", "maint"} if _cuts(change) else set()
        ends = [fields for fields in (change.now, change.target) if fields is not None]
        return all(
            value in [fields.get(name) for fields in ends] or (name == "state" and value in passing)
            for name, value in now.items()
        )

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """First the servers that take requests again, then the sticky sessions that go back to them, then those that are taken out."""
        keys = [change for change in changes if change.address.partition("/")[2].startswith(_KEY)]
        out = [change for change in changes if change not in keys and not _serves(change.target)]
        back = [change for change in changes if change not in keys and change not in out]
        waits = sum(self._options.drain_seconds for change in out if _cuts(change))
        for title, part, estimate in (
            (f"Put back {plural(len(back), 'server')}", back, None),
            (f"Send {plural(len(keys), 'sticky session')} back", keys, None),
            (f"Take out {plural(len(out), 'server')}", out, waits),
        ):
            if part:
                yield Batch(title, part, estimate)

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """What happens to users of servers that are taken out, and that a reload forgets it all."""
        limit = f"at most {self._options.drain_seconds:g} seconds"
        cut = [change.address for change in changes if _cuts(change)]
        quiet = [c.address for c in changes if _serves(c.now) and not _serves(c.target) and not _cuts(c)]
        notes = [
            f"{address}: no new users; those who are there stay until their sessions end, {limit}, and then go elsewhere"
            for address in cut
        ]
        notes += [f"{address}: no new users; those who stick to it stay there" for address in quiet]
        if changes:
            notes.append("a reload of HAProxy forgets this, unless a server-state-file is written before it")
        return tuple(notes)

    def capture(self, blobs: Blobs, progress: Progress) -> ComponentState:
        """Asks, too, which process it is, to tell later whether HAProxy was reloaded."""
        process = self._api().process()
        state = super().capture(blobs, progress)
        return state.model_copy(update={"payload": {**state.payload, "process": process}})

    def plan(
        self,
        snapshot: ComponentState,
        checkpoint: ComponentState | None,
        policy: Policy,
        blobs: Blobs,
        ledger: LedgerWriter,
        progress: Progress,
    ) -> ComponentPlan:
        """Says, too, where HAProxy was reloaded and has forgotten what it was told before."""
        process = self._api().process()
        plan = super().plan(snapshot, checkpoint, policy, blobs, ledger, progress)
        earlier = (checkpoint or snapshot).payload.get("process", process)
        notes = (
            plan.notes
            if process == earlier
            else (*plan.notes, _RELOADED.format(since="checkpoint" if checkpoint else "snapshot"))
        )
        return plan.model_copy(update={"notes": notes, "payload": {**plan.payload, "process": process}})

    def verify(
        self,
        snapshot: ComponentState,
        checkpoint: ComponentState | None,
        plan: ComponentPlan,
        ledger: Iterable[Json],
        notes: Callable[[str], Sequence[Json]],
        blobs: Blobs,
        progress: Progress,
    ) -> list[Check]:
        """Warns, too, where HAProxy was reloaded since the plan: what is not back then is what it has forgotten."""
        checks = super().verify(snapshot, checkpoint, plan, ledger, notes, blobs, progress)
        process = self._api().process()
        same = process == plan.payload["process"]
        return [
            *checks,
            Check(
                component=self.spec.name,
                name="process",
                status=CheckStatus.PASSED if same else CheckStatus.WARNING,
                expected=plan.payload["process"],
                actual=process,
                detail="no reload since the plan" if same else _RELOADED.format(since="plan"),
            ),
        ]

    def sessions(self, server: str) -> int:
        """Current sessions of ``backend/server``."""
        backend, _, name = server.partition("/")
        found = self._api().sessions(backend) if backend in self._options.backends else {}
        if name not in found:
            raise ConfigurationError(
                f"There is no server {server!r}",
                component=self.spec.name,
                next_step=f"Name one as backend/server, of {', '.join(self._options.backends)}",
            )
        return found[name]

    def _commands(self, change: Change) -> Iterable[tuple[str, ...]]:
        """Commands that make a server what it is to be, each with what it may answer."""
        where, target = change.address, change.target
        if target is None:
            yield f"set server {where} state maint", "No such server"
            yield f"del server {where}", "Server deleted", "No such server"
            return
        now: Fields = change.now or {}
        if change.now is None:
            arguments = self._options.server_arguments.get(where.partition("/")[0], "")
            command = f"add server {where} {target['address']}:{target['port']} weight {target['weight']} {arguments}"
            yield command.strip(), "New server registered", "Already exists a server"
            now = {**target, "state": "maint"}
        if (target["address"], target["port"]) != (now["address"], now["port"]):
            yield (
                f"set server {where} addr {target['address']} port {target['port']}",
                "changed from",
                "no need to change",
            )
        if target["weight"] != now["weight"]:
            yield (f"set server {where} weight {target['weight']}",)
        if target["state"] != now["state"]:
            yield (f"set server {where} state {target['state']}",)

    def _drain(self, api: RuntimeApi, backend: str, name: str, progress: Progress) -> None:
        """Keeps new users away and waits until those who are there have gone, or the limit has passed."""
        api.do(f"set server {backend}/{name} state drain")
        deadline = time.monotonic() + self._options.drain_seconds
        while (left := api.sessions(backend).get(name, 0)) and time.monotonic() < deadline:
            progress.update(f"drain {backend}/{name}", done=0, total=left, unit="sessions left")
            self.pause(_LOOK)
        if left:
            progress.message(f"{self.spec.name}: {left} sessions of {backend}/{name} are cut off after the limit")

    def _api(self) -> RuntimeApi:
        return RuntimeApi(self.spec.name, self.connections(self._connection))


def _cuts(change: Change) -> bool:
    """Whether users who are on a server now have to go."""
    now, target = change.now or {}, change.target or {}
    return now.get("state") in {"ready", "drain"} and target.get("state", "maint") == "maint"


def _serves(fields: Fields | None) -> bool:
    """Whether a server takes new users."""
    return fields is not None and fields.get("state") == "ready" and fields["weight"] > 0
