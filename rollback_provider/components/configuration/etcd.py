"""Kind ``etcd``: keys of etcd below a prefix, by the JSON gateway of its API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from shlex import quote
from typing import Any, ClassVar, Literal

from pydantic import Field

from rollback_provider.components.configuration.etcd_gateway import Gateway, encode
from rollback_provider.core.component import BlobReader, BlobWriter, ConnectionResolver, Progress
from rollback_provider.core.errors import StepFailedError, UnsupportedError
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

_OPERATIONS = 100
"""Changes of one transaction: etcd's limit is 128 unless it is set otherwise."""
_BYTES = 1_000_000
"""Bytes of keys and values in one transaction, unless one value alone is larger: etcd's limit is 1.5 MiB."""
_NAMED = 5


class EtcdOptions(Options):
    """Options of kind ``etcd``.

    :param prefix: keys that begin with it are captured
    :param exclude: shell patterns of whole keys that are not looked at: ``/shop/secrets/*``
    """

    prefix: str = Field(min_length=1)
    exclude: tuple[str, ...] = ()


class EtcdComponent(ResourceComponent):
    """Keys and their values. An address is a whole key; a value is text, or ``base64`` where it is no UTF-8.

    Keys that a lease holds belong to whoever keeps it alive, and are left alone.
    """

    kind: ClassVar[str] = "etcd"
    section: ClassVar[Literal["application"]] = "application"
    noun: ClassVar[str] = "keys"

    def __init__(self, spec: ComponentSpec, connections: ConnectionResolver) -> None:
        super().__init__(spec, connections)
        self._options = parse_options(spec, EtcdOptions)
        self._connection = require_connection(spec)
        self._leased: list[str] = []

    def identity(self) -> str:
        """Names the cluster by its id, whichever member answers."""
        with self._gateway() as gateway:
            return f"etcd:{gateway.cluster(self._options.prefix)}:{self._options.prefix}"

    def read(self, blobs: BlobWriter) -> State:
        """Reads all keys as of one revision."""
        with self._gateway() as gateway:
            return self._state(gateway)[0]

    def write(self, changes: Sequence[Change], blobs: BlobReader, progress: Progress) -> None:
        """Makes all changes in one transaction, which etcd refuses where a key has been written since it was read."""
        with self._gateway() as gateway:
            state, revisions = self._state(gateway)
            for change in changes:
                if state.get(change.address) != change.now:
                    raise MovedError(f"{change.address} has been changed")
                if change.address in self._leased:
                    raise StepFailedError(
                        f"{change.address} is held by a lease now",
                        component=self.spec.name,
                        next_step="End the lease or have its holder give the key up, then execute the same rollback again",
                    )
            self.stop_if_cancelled()
            found = {change.address: revisions.get(change.address, 0) for change in changes}
            operations = [_operation(change) for change in changes]
            if not gateway.swap(found, operations):
                raise MovedError(f"one of {', '.join([*found][:_NAMED])} has been changed")
        progress.update(f"write {self.spec.name}", done=len(changes), total=len(changes), unit=self.noun)

    def command(self, change: Change) -> str:
        """A command of etcdctl."""
        key, target = quote(change.address), change.target
        if target is None:
            return f"etcdctl del -- {key}"
        if "base64" in target:
            return f"printf %s {target['base64']} | base64 -d | etcdctl put -- {key}"
        return f"etcdctl put -- {key} {quote(target['value'])}"

    def batches(self, changes: Sequence[Change], blobs: BlobReader) -> Iterable[Batch]:
        """One transaction, or as many as etcd's limits ask for."""
        parts: list[list[Change]] = []
        size = 0
        for change in changes:
            weight = len(change.address.encode()) + len(_bytes(change.target))
            if not parts or len(parts[-1]) == _OPERATIONS or size + weight > _BYTES:
                parts.append([])
                size = 0
            parts[-1].append(change)
            size += weight
        return [Batch(f"Restore {plural(len(part), 'key')} below {self._options.prefix}", part) for part in parts]

    def notes(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """Keys that leases hold, and what watchers see."""
        notes = []
        if self._leased:
            more = f" and {len(self._leased) - _NAMED} more" if len(self._leased) > _NAMED else ""
            notes.append(f"{', '.join(self._leased[:_NAMED])}{more}: held by leases, left as they are")
        if changes:
            notes.append("each step is one transaction: those who watch the keys see all of it at one revision")
        return tuple(notes)

    def _state(self, gateway: Gateway) -> tuple[State, dict[str, int]]:
        """Keys and values, and the revision of each key; keys that leases hold have a revision only."""
        state: State = {}
        revisions = {}
        self._leased = []
        for entry in gateway.keys(self._options.prefix):
            self.stop_if_cancelled()
            try:
                key = entry.key.decode()
            except UnicodeDecodeError:
                raise UnsupportedError(
                    f"The key {entry.key!r} is not UTF-8",
                    component=self.spec.name,
                    next_step="Choose a prefix without such keys",
                ) from None
            if any(fnmatchcase(key, pattern) for pattern in self._options.exclude):
                continue
            revisions[key] = entry.revision
            if entry.lease:
                self._leased.append(key)
            else:
                state[key] = _fields(entry.value)
        return state, revisions

    @contextmanager
    def _gateway(self) -> Iterator[Gateway]:
        gateway = Gateway(self.spec.name, self.connections(self._connection))
        try:
            gateway.log_in()
            yield gateway
        finally:
            gateway.close()


def _fields(value: bytes) -> Fields:
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"base64": encode(value)}


def _bytes(fields: Fields | None) -> str:
    """The value as etcd's gateway takes it."""
    if fields is None:
        return ""
    return str(fields["base64"]) if "base64" in fields else encode(fields["value"].encode())


def _operation(change: Change) -> dict[str, Any]:
    key = encode(change.address.encode())
    if change.target is None:
        return {"requestDeleteRange": {"key": key}}
    return {"requestPut": {"key": key, "value": _bytes(change.target)}}
