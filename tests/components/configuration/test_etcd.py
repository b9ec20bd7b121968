"""Keys of etcd: transactions, limits, leases, and who may do what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rollback_provider.components.configuration import etcd_gateway
from rollback_provider.components.configuration.etcd import EtcdComponent
from rollback_provider.components.configuration.etcd_gateway import Gateway
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import (
    ConfigurationError,
    PermissionDeniedError,
    StepFailedError,
    UnsupportedError,
)
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.repository import Store
from rollback_provider.resources import Change, Digests, MovedError
from tests.fix_etcd import Etcd
from tests.fix_progress import RecordedProgress


def component(connection: Connection, prefix: str) -> EtcdComponent:
    spec = ComponentSpec(kind="etcd", name="settings", connection="settings", options={"prefix": prefix})
    return EtcdComponent(spec, lambda _: connection)


@pytest.fixture
def prefix(next_prefix: Callable[[], str]) -> str:
    return next_prefix()


@pytest.fixture
def settings(etcd: Etcd, prefix: str) -> EtcdComponent:
    return component(etcd.connection(), prefix)


def test_a_key_that_is_written_between_look_and_transaction_is_not_lost(
    etcd: Etcd, prefix: str, settings: EtcdComponent, memory_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    etcd.put(f"{prefix}a", "1")
    etcd.put(f"{prefix}b", "1")
    swap = Gateway.swap

    def late(self: Gateway, *arguments: object) -> bool:
        etcd.put(f"{prefix}b", "2")
        return swap(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Gateway, "swap", late)
    changes = [Change(f"{prefix}{key}", {"value": "1"}, {"value": "0"}) for key in "ab"]
    with pytest.raises(MovedError, match=f"{prefix}b"):
        settings.write(changes, memory_store, RecordedProgress())
    assert settings.read(Digests()) == {f"{prefix}a": {"value": "1"}, f"{prefix}b": {"value": "2"}}


def test_all_keys_are_read_page_by_page(
    etcd: Etcd, prefix: str, settings: EtcdComponent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_gateway, "_PAGE", 2)
    keys = [f"{prefix}{number}" for number in range(5)]
    for key in keys:
        etcd.put(key, key)
    assert settings.read(Digests()) == {key: {"value": key} for key in keys}


def test_steps_stay_within_the_limits_of_a_transaction(
    prefix: str, settings: EtcdComponent, memory_store: Store
) -> None:
    many = [Change(f"{prefix}{number:03}", None, {"value": "x"}) for number in range(250)]
    large = [Change(f"{prefix}large{number}", None, {"value": "x" * 700_000}) for number in range(2)]
    batches = list(settings.batches([*many, *large], memory_store))
    assert [len(batch.changes) for batch in batches] == [100, 100, 51, 1]
    for batch in batches:
        settings.write(batch.changes, memory_store, RecordedProgress())
    assert settings.read(Digests()) == {change.address: change.target for change in (*many, *large)}


def test_a_key_that_a_lease_holds_is_named_and_never_taken(
    etcd: Etcd, prefix: str, settings: EtcdComponent, memory_store: Store
) -> None:
    etcd.put(f"{prefix}leader", "pod-1", etcd.ask("/lease/grant", TTL=600)["ID"])
    assert settings.read(Digests()) == {}
    assert f"{prefix}leader: held by leases, left as they are" in settings.notes([])
    with pytest.raises(StepFailedError, match="leader is held by a lease now"):
        settings.write([Change(f"{prefix}leader", None, {"value": "x"})], memory_store, RecordedProgress())


def test_what_a_person_would_run(settings: EtcdComponent) -> None:
    commands = [
        settings.command(Change("/a b", None, target)) for target in (None, {"value": "it's"}, {"base64": "/wA="})
    ]
    assert commands == [
        "etcdctl del -- '/a b'",
        "etcdctl put -- '/a b' 'it'\"'\"'s'",
        "printf %s /wA= | base64 -d | etcdctl put -- '/a b'",
    ]


@pytest.mark.parametrize(
    ("login", "password", "message"),
    [
        ("guest", None, "answered 403"),
        ("shop", "wrong", "authentication failed"),
        (None, None, "user name is empty"),
    ],
)
def test_who_may_not(etcd: Etcd, prefix: str, login: str | None, password: str | None, message: str) -> None:
    connection = replace(etcd.connection(), login=login)
    settings = component(replace(connection, password=password) if password else connection, prefix)
    with pytest.raises(PermissionDeniedError, match=f"settings: .*{message}"):
        settings.read(Digests())


def test_a_value_that_etcd_refuses(prefix: str, settings: EtcdComponent, memory_store: Store) -> None:
    with pytest.raises(StepFailedError, match="request is too large"):
        settings.write([Change(f"{prefix}a", None, {"value": "x" * 2_000_000})], memory_store, RecordedProgress())


def test_a_key_that_is_no_text(etcd: Etcd, prefix: str, settings: EtcdComponent) -> None:
    etcd.ask("/kv/put", key=etcd_gateway.encode(prefix.encode() + b"\xff"), value="")
    with pytest.raises(UnsupportedError, match=r"xff' is not UTF-8"):
        settings.read(Digests())


def test_options(etcd: Etcd) -> None:
    with pytest.raises(ConfigurationError, match="prefix"):
        component(etcd.connection(), "")
    with pytest.raises(ConfigurationError, match="connection"):
        EtcdComponent(ComponentSpec(kind="etcd", name="settings", options={"prefix": "/"}), lambda _: etcd.connection())
