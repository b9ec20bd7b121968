"""The output document and its JSON Schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from rollback_provider.core.base import Json
from rollback_provider.core.document import Record
from rollback_provider.core.record import load_record, schema
from tests.core.setting import Setting

SCHEMA = schema()


def errors(document: Json) -> list[str]:
    """What is wrong with a document."""
    validator = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
    return [error.json_path for error in validator.iter_errors(document)]


@pytest.fixture
def verified(setting: Setting) -> Json:
    """The document of a rollback with a ledger, steps and checks."""
    snapshot = setting.snapshot()
    setting.migrate()
    plan = setting.plan(snapshot)
    setting.execute(plan)
    return setting.verify(plan).to_json()


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_five_names_that_never_change(verified: Json) -> None:
    assert SCHEMA["required"] == ["rollbackId", "timestamp", "snapshot", "scripts", "execution"]
    for name in SCHEMA["required"]:
        assert errors({key: value for key, value in verified.items() if key != name})
    assert {"id", "created", "components"} <= verified["snapshot"].keys()
    assert {"database", "application", "infrastructure"} == verified["scripts"].keys()
    assert {"status", "duration", "verification"} <= verified["execution"].keys()


def test_a_real_document_is_valid_at_every_stage(setting: Setting) -> None:
    plan = setting.migrated()
    for status in ("ready", "executed", "verified"):
        document = load_record(setting.store, plan.rollback_id).to_json()
        assert document["execution"]["status"] == status
        assert not errors(document)
        assert Record.model_validate(json.loads(json.dumps(document))) is not None
        if status == "ready":
            setting.execute(plan)
        else:
            setting.verify(plan)


def test_every_field_of_the_record_is_in_the_schema() -> None:
    model = Record.model_json_schema(by_alias=True, mode="serialization")
    described = dict(_properties(SCHEMA))
    for name, fields in _properties(model):
        assert described[name] == fields, name


def _properties(document: Json) -> Iterator[tuple[str, set[str]]]:
    yield "Record", set(document["properties"])
    for name, definition in document["$defs"].items():
        if "properties" in definition:
            yield name, set(definition["properties"])


def test_every_enumeration_is_that_of_the_record() -> None:
    model = Record.model_json_schema(by_alias=True, mode="serialization")
    ours, theirs = dict(_enumerations(SCHEMA)), dict(_enumerations(model))
    assert theirs
    assert ours == theirs


def _enumerations(document: Json) -> Iterator[tuple[str, list[str]]]:
    for name, definition in document["$defs"].items():
        if "enum" in definition:
            yield name, definition["enum"]
        for field, value in definition.get("properties", {}).items():
            if "enum" in value:
                yield f"{name}.{field}", value["enum"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("rollbackId", ""),
        ("rollbackId", None),
        ("timestamp", "yesterday"),
        ("timestamp", "2026-11-23"),
        ("timestamp", "2026-11-23T15:11:01"),
        ("timestamp", 1763910661),
        ("snapshot.id", ""),
        ("snapshot.created", "2026-11-23 15:11:01Z"),
        ("snapshot.components", []),
        ("snapshot.components", {}),
        ("snapshot.components", [{"name": "db"}]),
        ("scripts.database", None),
        ("scripts", {"database": "", "application": ""}),
        ("execution.status", "done"),
        ("execution.status", "failed"),
        ("execution.duration", "3.2 s"),
        ("execution.duration", "P"),
        ("execution.duration", "PT"),
        ("execution.duration", "P1DT"),
        ("execution.duration", 3.2),
        ("execution.verification", None),
        ("execution.verification.status", "ok"),
        ("execution.verification.status", "failed"),
        ("execution.verification.status", "unknown"),
        ("execution.verification.checks.0.status", "skipped"),
        ("execution.steps.0.status", "skipped"),
        ("execution.attempts", -1),
        ("ledger.counts.0.action", "lost"),
        ("ledger.counts.0.count", -1),
        ("ledger.blobs.0.digest", "abc"),
        ("attribution", "guess"),
        ("policy.conflicts", "ignore"),
    ],
)
def test_a_wrong_document_is_refused(verified: Json, path: str, value: Any) -> None:
    assert not errors(verified)
    document: Any = deepcopy(verified)
    *parents, last = path.split(".")
    inner = document
    for name in parents:
        inner = inner[int(name)] if name.isdigit() else inner[name]
    assert last in inner
    inner[last] = value
    assert errors(document)


@pytest.mark.parametrize("value", ["PT0S", "PT1.5S", "P1DT2H3M4.000005S", "P1Y35D", "P40D", "PT3H0.000005S"])
def test_durations_as_they_are_written(verified: Json, value: str) -> None:
    verified["execution"]["duration"] = value
    assert not errors(verified)


def test_times_and_durations_are_iso_8601(verified: Json) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", verified["timestamp"])
    assert re.fullmatch(r"PT\d+(\.\d+)?S", verified["execution"]["duration"])


def test_a_later_version_may_add_fields(verified: Json) -> None:
    verified["approvals"] = [{"by": "grace"}]
    verified["execution"]["pauses"] = 1
    assert not errors(verified)
