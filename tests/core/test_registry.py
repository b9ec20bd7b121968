"""Component specifications and kinds."""

from __future__ import annotations

from typing import Any

import pytest

from rollback_provider.core import registry
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.model import ComponentSpec
from rollback_provider.core.registry import build, kinds, parse_specs, rollback_order
from tests.core.setting import no_connections


def test_what_is_no_field_becomes_an_option() -> None:
    (spec,) = parse_specs([{"kind": "postgres", "name": "orders", "connection": "orders_db", "schemas": ["public"]}])
    assert spec == ComponentSpec(
        kind="postgres", name="orders", connection="orders_db", options={"schemas": ["public"]}
    )
    assert parse_specs([spec]) == (spec,)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "No components"),
        (["postgres"], "must be a mapping, not str"),
        ([None], "must be a mapping, not NoneType"),
        ([{"kind": "memory"}], "name: Field required"),
        ([{"name": "a"}], "kind: Field required"),
        ([{"kind": "memory", "name": "a b"}], "name: String should match"),
        ([{"kind": "memory", "name": 7}], "name: Input should be a valid string"),
        ([{"kind": "memory", "name": "a", "options": "x"}], "options must be a mapping"),
        ([{"kind": "memory", "name": "a", "after": "b"}], "after: "),
        ([{"kind": "memory", "name": "a"}, {"kind": "postgres", "name": "a"}], "used twice: a"),
        ([{"kind": "memory", "name": "a", "after": ["b"]}], "a: `after` names unknown components: b"),
    ],
)
def test_a_malformed_specification_is_one_clear_error(entries: list[Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_specs(entries)


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"^x: Unknown component kind 'oracle'.*memory, .*postgres"):
        build(ComponentSpec(kind="oracle", name="x"), no_connections)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILT_IN, "zone", "no_such_client.zone:Zone")
    with pytest.raises(ConfigurationError, match=r"needs the package 'no_such_client'.*\[zone\]"):
        build(ComponentSpec(kind="zone", name="x"), no_connections)


@pytest.mark.parametrize("options", [{}, {"system": 1}, {"system": "a", "colour": "red"}])
def test_options_that_a_kind_does_not_take_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"^x: Kind 'memory' takes exactly one option"):
        build(ComponentSpec(kind="memory", name="x", options=options), no_connections)


def test_built_in_kinds_are_known() -> None:
    assert {"memory", "postgres"} <= kinds().keys()


def test_rollback_goes_the_other_way_round() -> None:
    specs = parse_specs(
        [
            {"kind": "memory", "name": "dns", "after": ["app", "cache"]},
            {"kind": "memory", "name": "app", "after": ["db"]},
            {"kind": "memory", "name": "db"},
            {"kind": "memory", "name": "cache"},
        ]
    )
    assert rollback_order(specs) == (("dns",), ("app",), ("db", "cache"))


def test_a_circle_is_refused() -> None:
    specs = parse_specs(
        [
            {"kind": "memory", "name": "a", "after": ["b"]},
            {"kind": "memory", "name": "b", "after": ["a"]},
            {"kind": "memory", "name": "c"},
        ]
    )
    with pytest.raises(ConfigurationError, match="circle: a, b"):
        rollback_order(specs)
