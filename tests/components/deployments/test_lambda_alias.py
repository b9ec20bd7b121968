"""Aliases of Lambda functions beyond the contract: revisions, versions that are gone, what is refused."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from rollback_provider.components.deployments.lambda_alias import LambdaAliasComponent
from rollback_provider.core.errors import ConfigurationError, UnsupportedError
from rollback_provider.core.repository import Store
from rollback_provider.resources import Change, Digests, MovedError
from tests.contract.suite import Scenario
from tests.contract.test_lambda_alias import LambdaAliasHarness
from tests.fix_progress import RecordedProgress
from tests.fix_store import S3
from tests.parts.gate import Gate


@pytest.fixture
def shop(s3: S3, gate: Gate) -> LambdaAliasHarness:
    """A function behind the gate."""
    made = LambdaAliasHarness(s3)
    made.endpoint = gate.endpoint
    return made


@pytest.fixture
def component(shop: LambdaAliasHarness) -> LambdaAliasComponent:
    return LambdaAliasComponent(shop.spec, shop.resolve)


def write(component: LambdaAliasComponent, *changes: Change) -> None:
    """Writes past the engine."""
    component.write(changes, Digests(), RecordedProgress())  # type: ignore[arg-type]  # it reads no blob


def fields(version: str, **weights: float) -> dict[str, Any]:
    """An alias."""
    return {"routing": {"version": version, "weights": weights}, "description": ""}


def test_a_revision_that_is_stale_is_refused_by_lambda(
    shop: LambdaAliasHarness, component: LambdaAliasComponent, gate: Gate
) -> None:
    """Moto looks at no revisions, so the refusal is put in its mouth; that one is sent is seen."""
    change = Change(shop.part, fields("1"), fields("2"))
    with gate.refusing("lambda", "UpdateAlias", "PreconditionFailedException"), pytest.raises(MovedError, match="live"):
        write(component, change)
    assert shop.state()["live"][0] == "1"
    with gate.troubling("lambda", "UpdateAlias", lambda passed_on: passed_on()):
        write(component, change)
    assert json.loads(gate.bodies["UpdateAlias"])["RevisionId"]
    assert shop.state()["live"][0] == "2"


def test_somebody_is_faster(shop: LambdaAliasHarness, component: LambdaAliasComponent, gate: Gate) -> None:
    before = shop.state()
    for now in (None, fields("3")):
        with pytest.raises(MovedError, match="live"):
            write(component, Change(shop.part, now, fields("2")))
    made = Change(shop.part.replace("live", "late"), None, fields("2"))
    with gate.refusing("lambda", "CreateAlias", "ResourceConflictException"), pytest.raises(MovedError, match="late"):
        write(component, made)
    assert shop.state() == before


def test_a_version_that_was_deleted_is_refused_before_anything_is_changed(
    shop: LambdaAliasHarness, component: LambdaAliasComponent
) -> None:
    with pytest.raises(UnsupportedError, match=r"checkout: .* led to version 99, which was deleted"):
        component.notes([Change(shop.part, fields("2"), fields("1", **{"99": 0.1}))])


def test_what_an_alias_does_not_bring_back_is_told(
    shop: LambdaAliasHarness, component: LambdaAliasComponent, memory_store: Store
) -> None:
    assert "whose code is what it is now" in component.notes([Change(shop.part, fields("2"), fields("$LATEST"))])[0]
    _, plan = Scenario(shop, memory_store).migrated()
    assert any("made anew, without the permissions" in note for note in plan.components[0].notes)


def test_more_aliases_than_a_page_has(shop: LambdaAliasHarness, component: LambdaAliasComponent) -> None:
    for number in range(60):
        shop.lead(f"many{number}", 1)
    assert len(component.read(Digests())) == 63


def test_commands(component: LambdaAliasComponent) -> None:
    words = shlex.split(component.command(Change("f:live", fields("2"), fields("1", **{"2": 0.1}))))
    assert words[:3] == ["aws", "lambda", "update-alias"]
    assert json.loads(words[-1])["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.1}}
    assert component.command(Change("f:live", None, fields("1"))).startswith("aws lambda create-alias")
    assert component.command(Change("f:live", fields("1"), None)).startswith("aws lambda delete-alias")


@pytest.mark.parametrize(
    "options", [{}, {"functions": []}, {"functions": ["arn:aws:lambda:x"]}, {"functions": ["f:1"]}]
)
def test_options(shop: LambdaAliasHarness, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="functions"):
        LambdaAliasComponent(shop.spec.model_copy(update={"options": options}), shop.resolve)


def test_a_function_that_is_not_there(shop: LambdaAliasHarness) -> None:
    spec = shop.spec.model_copy(update={"options": {"functions": ["nowhere"]}})
    with pytest.raises(ConfigurationError, match="checkout: There is no function nowhere"):
        LambdaAliasComponent(spec, shop.resolve).read(Digests())
