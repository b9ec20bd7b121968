"""Flag files: what of their text stays, what is refused, and what OpenFeature makes of them."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.event import EventDetails, ProviderEvent

from rollback_provider.components.flags.flag_file import parse, rewrite
from rollback_provider.components.flags.flagd import FlagdComponent
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ComponentUnavailableError, ConfigurationError, UnsupportedError
from rollback_provider.core.model import Action, ComponentSpec
from rollback_provider.core.repository import Store
from rollback_provider.resources import Change, Digests, MovedError
from tests.contract.suite import Scenario
from tests.contract.test_flagd import BOOLEAN, FlagdHarness
from tests.fix_progress import RecordedProgress

YAML = """\
# Flags of the shop
flags:
  # asked by the cart
  new-checkout:
    state: ENABLED   # since May
    variants: {"on": true, "off": false}
    defaultVariant: "off"

  # asked by every page
  banner:
    state: ENABLED
    variants:
      none: ""
      sale: |
        Sale
        today
    defaultVariant: none
# shared
$evaluators:
  staff: {in: [shop, {var: email}]}   # by name
"""


def component(path: Path) -> FlagdComponent:
    def resolve(connection_id: str) -> Connection:
        raise AssertionError(connection_id)

    return FlagdComponent(ComponentSpec(kind="flagd", name="flags", options={"path": str(path)}), resolve)


def test_yaml_goes_back_like_json(tmp_path: Path, memory_store: Store) -> None:
    scenario = Scenario(FlagdHarness(tmp_path / "flags.yaml"), memory_store)
    before = scenario.harness.state()
    snapshot = scenario.snapshot()
    scenario.harness.migrate()
    plan = scenario.generate(snapshot)
    scenario.execute(plan)
    scenario.assert_back(plan, before)


@pytest.fixture
def scenario(tmp_path: Path, memory_store: Store) -> Scenario:
    return Scenario(FlagdHarness(tmp_path / "flags.json"), memory_store)


def test_openfeature_sees_the_flags_of_the_snapshot_again(scenario: Scenario, provider: FlagdProvider) -> None:
    client = api.get_client()
    changed = Event()

    def note(_: EventDetails) -> None:
        changed.set()

    snapshot = scenario.snapshot()
    scenario.harness.migrate()
    scenario.checkpoint(snapshot)
    api.set_provider_and_wait(provider)
    assert client.get_boolean_value("new-search", default_value=False) is True
    client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, note)
    scenario.execute(scenario.generate(snapshot))
    assert changed.wait(30)
    assert client.get_boolean_value("new-search", default_value=False) is False
    assert client.get_boolean_value("new-checkout", default_value=True) is False


@pytest.fixture
def provider(scenario: Scenario) -> Iterator[FlagdProvider]:
    path = scenario.harness.spec.options["path"]
    yield FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=path, deadline_ms=100)
    api.shutdown()


def test_fields_that_different_people_change_are_merged(scenario: Scenario, tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    snapshot = scenario.snapshot()
    scenario.harness.migrate()
    scenario.checkpoint(snapshot)
    document = json.loads(path.read_text())
    document["flags"]["limits"]["defaultVariant"] = "high"
    path.write_text(json.dumps(document))
    plan = scenario.generate(snapshot)
    assert plan.ledger.total(Action.MERGED) == 1
    scenario.execute(plan)
    limits = json.loads(path.read_text())["flags"]["limits"]
    assert (limits["defaultVariant"], limits["targeting"]) == ("high", {})


def test_a_default_that_would_go_is_refused_before_anything_is_changed(scenario: Scenario, tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    snapshot = scenario.snapshot()
    document = json.loads(path.read_text())
    document["flags"]["banner"]["variants"]["spring"] = "Frühling"
    path.write_text(json.dumps(document))
    scenario.checkpoint(snapshot)
    document["flags"]["banner"]["defaultVariant"] = "spring"
    path.write_text(json.dumps(document))
    with pytest.raises(UnsupportedError, match=r"banner would be left with the default 'spring'"):
        scenario.generate(snapshot)


def test_yaml_keeps_what_is_not_changed_letter_by_letter() -> None:
    wanted = parse(YAML, is_yaml=True)
    wanted["flags"]["new-checkout"]["defaultVariant"] = "on"
    wanted["flags"]["ads"] = {"state": "DISABLED", "variants": BOOLEAN, "defaultVariant": "off"}
    wanted["$evaluators"]["staff"] = {"in": ["shop", {"var": "name"}]}
    text = rewrite(YAML, wanted, is_yaml=True)
    assert parse(text, is_yaml=True) == wanted
    assert YAML[YAML.index("  # asked by every page") : YAML.index("# shared")] in text
    assert text.startswith("# Flags of the shop\nflags:\n  # asked by the cart\n  new-checkout:\n")
    assert "    defaultVariant: none\n  ads:\n    state: DISABLED\n" in text
    assert "    'on': true\n" in text, "without quotes it would be a boolean"
    back = rewrite(text, parse(YAML, is_yaml=True), is_yaml=True)
    assert parse(back, is_yaml=True) == parse(YAML, is_yaml=True)
    assert "# shared\n$evaluators:\n" in back
    assert "ads" not in back


@pytest.mark.parametrize(
    "text",
    [
        "flags: {a: {state: ENABLED}, b: {state: ENABLED}}\n",
        "flags:\n  a: &a\n    state: ENABLED\n  b: *a\n",
        "flags:\n  a: {state: ENABLED}\n  b:\n    state: ENABLED",
        '{"flags": {\n  "a": {}, "b": {}\n}}',
    ],
)
@pytest.mark.parametrize("gone", ["a", "b"])
def test_yaml_of_any_style_means_what_is_wanted(text: str, gone: str) -> None:
    wanted = parse(text, is_yaml=True)
    wanted["flags"]["c"] = {"state": "ENABLED", "variants": BOOLEAN}
    del wanted["flags"][gone]
    assert parse(rewrite(text, wanted, is_yaml=True), is_yaml=True) == wanted


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json_keeps_indentation_order_and_letters(tmp_path: Path, memory_store: Store, indent: Any) -> None:
    path = tmp_path / "flags.json"
    before = json.dumps(
        {
            "$schema": "x",
            "flags": {"b": {"state": "ENABLED", "text": "Größe"}, "a": {"state": "ENABLED"}},
            "metadata": {},
        },
        indent=indent,
        ensure_ascii=False,
    )
    path.write_text(before, "utf-8")
    path.chmod(0o640)
    flags = component(path)
    now = flags.read(Digests())["b"]
    for state in ("DISABLED", "ENABLED"):
        target = {"text": "Größe", "state": state}
        flags.write([Change("b", flags.read(Digests())["b"], target)], memory_store, RecordedProgress())
        assert flags.read(Digests())["b"] == target
    assert path.read_text("utf-8") == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(MovedError):
        flags.write([Change("b", {**now, "state": "OTHER"}, now)], memory_store, RecordedProgress())


def test_a_link_to_the_file_stays_a_link(tmp_path: Path, memory_store: Store) -> None:
    (tmp_path / "real.json").write_text('{"flags": {"a": {"state": "ENABLED"}}}')
    link = tmp_path / "flags.json"
    link.symlink_to("real.json")
    flags = component(link)
    flags.write([Change("a", {"state": "ENABLED"}, None)], memory_store, RecordedProgress())
    assert link.is_symlink()
    assert json.loads(link.read_text()) == {"flags": {}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.json", b'{"flags": {"a": 1}', "line 1 is not JSON"),
        ("f.json", b'{"flags": []}', "no mapping `flags`"),
        ("f.json", b'{"flags": {}, "$evaluators": 1}', "evaluators` is no mapping"),
        ("f.json", b'{"flags": {"a": 1}}', "flag a is no mapping"),
        ("f.json", b"\xff", "not UTF-8"),
        ("f.yaml", b"flags:\n  a: [", "line 2 is not YAML|line 3 is not YAML"),
        ("f.yaml", b"flags: \x07", "not YAML"),
    ],
)
def test_what_is_no_flag_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ComponentUnavailableError, match=f"flags: .*{message}"):
        component(tmp_path / name).read(Digests())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flags: {a: {variants: {on: true}}}", "a in .* holds what JSON cannot express"),
        ("flags: {a: {since: 2026-05-01}}", "a in .* holds what JSON cannot express"),
        ("flags: {1: {state: ENABLED}}", "has the name 1"),
        ("flags: {$evaluators/a: {state: ENABLED}}", "has the name '.evaluators/a'"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises(UnsupportedError, match=message):
        component(tmp_path / "f.yaml").read(Digests())


def test_options() -> None:
    with pytest.raises(ConfigurationError, match="path"):
        component(Path("relative.json"))
