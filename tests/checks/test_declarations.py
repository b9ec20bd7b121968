"""Declarations: what makes no sense is one clear error before anything runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rollback_provider.core.checking import run_checks, seal_checks
from rollback_provider.core.checks import parse_checks
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.core.verification import CheckSpec, CheckStatus, SealedCheck
from tests.core.setting import no_connections

SQL = {"kind": "sql", "name": "paid", "connection": "shop", "sql": "select 1"}
SUITE = {
    "kind": "expectations",
    "name": "orders",
    "connection": "shop",
    "table": "orders",
    "suite": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "status"}}],
}
FUNCTION: dict[str, Any] = {"kind": "callable", "name": "holds", "callable": "tests.checks.functions:holds"}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("sql", "must be a list, not str"),
        (["sql"], "must be a mapping, not str"),
        ([{"name": "x"}], "'x' is malformed: kind: Field required"),
        ([SQL | {"name": ""}], "name: String should have at least 1 character"),
        ([SQL | {"kind": "sequel"}], "unknown kind 'sequel'. .*callable, .*sql"),
        ([SQL, SQL | {"sql": "select 2"}], "used twice: paid"),
        ([SQL | {"qsl": ""}], "'paid' is malformed: qsl: Extra inputs are not permitted"),
        ([{key: value for key, value in SQL.items() if key != "sql"}], "sql: Field required"),
        ([SQL | {"min": "one"}], "min.*: Input should be a valid"),
        ([SQL | {"connection": None}], "'paid' names no connection"),
        ([SQL | {"timeout": 0}], "timeout: Input should be greater than 0"),
        ([SQL | {"when": "never"}], "when: Input should be 'both', 'migration' or 'rollback'"),
        ([SQL | {"options": 3}], "options must be a mapping"),
        ([SUITE | {"suite": []}], "give a suite with at least one expectation"),
        ([SUITE | {"suite": [{"kwargs": {}}]}], "suite.0.type: Field required"),
        ([SUITE | {"suite": 5}], "suite: Input should be a valid list"),
        ([SUITE | {"table": ""}], "give a table or a query"),
        ([SUITE | {"suite_file": "also.json"}], "or a suite_file"),
        ([FUNCTION | {"callable": "no colon"}], "callable: String should match pattern"),
    ],
)
def test_a_malformed_declaration_is_named(entries: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_checks(entries)


def shop(connection_id: str) -> Connection:
    """A connection that nobody opens."""
    return Connection(id=connection_id, type="postgres", host="127.0.0.1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is no JSON"),
        ('"suite"', "is no suite of Great Expectations"),
        ('{"expectations": []}', "has no expectation"),
        ('{"expectations": [{"type": "expect_nonsense", "kwargs": {}}]}', "expect_nonsense is malformed"),
        (
            '{"expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"colum": "x"}}]}',
            "expect_column_values_to_not_be_null is malformed: .*colum",
        ),
    ],
)
def test_a_suite_that_cannot_be_run_is_refused_at_the_snapshot(
    tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "suite.json"
    if content is not None:
        path.write_text(content, "utf-8")
    given = {key: value for key, value in SUITE.items() if key != "suite"} | {"suite_file": str(path)}
    with pytest.raises(ConfigurationError, match=message):
        seal_checks(parse_checks([given]), shop)


def test_what_a_check_refers_to_is_sealed_with_it(tmp_path: Path) -> None:
    path = tmp_path / "suite.json"
    path.write_text(json.dumps({"name": "orders", "expectations": SUITE["suite"]}), "utf-8")
    given = {key: value for key, value in SUITE.items() if key != "suite"} | {"suite_file": str(path)}
    (sealed,) = seal_checks(parse_checks([given]), shop)
    path.unlink()
    assert sealed.spec.options["suite"][0]["type"] == "expect_column_values_to_not_be_null"
    assert "suite_file" not in sealed.spec.options
    assert json.loads(sealed.model_dump_json()) == sealed.to_json()


def test_a_missing_connection_or_function_is_refused_at_the_snapshot() -> None:
    with pytest.raises(ConfigurationError, match="There is no connection 'shop'"):
        seal_checks(parse_checks([SQL]), no_connections)
    for name in ("tests.checks.functions:nothing", "tests.checks.nowhere:holds"):
        with pytest.raises(ConfigurationError, match=r"'holds' finds no tests\.checks"):
            seal_checks(parse_checks([FUNCTION | {"callable": name}]), no_connections)


@pytest.mark.parametrize(
    ("name", "arguments", "status", "detail"),
    [
        ("holds", {}, CheckStatus.PASSED, ""),
        ("holds", {"answer": False}, CheckStatus.FAILED, ""),
        ("holds", {"answer": None}, CheckStatus.UNKNOWN, "returned nothing: it must return True"),
        ("holds", {"answer": 1}, CheckStatus.UNKNOWN, "returned a int"),
        ("holds", {"answer": {"status": "warning", "detail": "slow"}}, CheckStatus.WARNING, "slow"),
        ("holds", {"answer": {"status": "good"}}, CheckStatus.UNKNOWN, "returned no check: status"),
        ("holds", {"anwser": True}, CheckStatus.UNKNOWN, "TypeError: .*anwser"),
        ("asserts", {}, CheckStatus.FAILED, "order 1 costs nothing"),
        ("breaks", {}, CheckStatus.UNKNOWN, "ZeroDivisionError: no orders"),
        ("sleeps", {}, CheckStatus.UNKNOWN, "No answer within 0.2 s"),
    ],
)
def test_a_function_s_answer_is_taken_at_its_word(
    name: str, arguments: dict[str, Any], status: CheckStatus, detail: str
) -> None:
    given: dict[str, Any] = FUNCTION | {"callable": f"tests.checks.functions:{name}", "arguments": arguments}
    if name == "sleeps":
        given["timeout"] = 0.2
    (check,) = run_checks(seal_checks(parse_checks([given]), no_connections), "migration", no_connections)
    assert (check.status, check.statement) == (status, given["callable"])
    assert re.search(detail, check.detail)


def test_a_function_gets_the_connection_it_asks_for() -> None:
    given = FUNCTION | {"callable": "tests.checks.functions:asks", "connection": "shop"}
    (check,) = run_checks(seal_checks(parse_checks([given]), shop), "rollback", shop)
    assert (check.status, check.component, check.actual) == (CheckStatus.PASSED, "shop", "shop")


def test_one_check_that_breaks_hides_no_other_and_each_has_its_time() -> None:
    given = [
        FUNCTION | {"name": "breaks", "callable": "tests.checks.functions:breaks"},
        FUNCTION | {"name": "warns", "arguments": {"answer": False}, "severity": "warning"},
        FUNCTION | {"name": "after the migration", "when": "migration"},
        FUNCTION | {"name": "after the rollback", "when": "rollback"},
    ]
    sealed = seal_checks(parse_checks(given), no_connections)
    found = {check.name: check.status.value for check in run_checks(sealed, "rollback", no_connections)}
    assert found == {"breaks": "unknown", "warns": "warning", "after the rollback": "passed"}


def test_a_kind_whose_package_is_not_installed_here_is_unknown_and_hides_no_other() -> None:
    there, gone = parse_checks([FUNCTION])[0], CheckSpec(kind="of-a-package", name="gone")
    found = run_checks([SealedCheck(spec=gone), SealedCheck(spec=there)], "rollback", no_connections)
    assert [(check.name, check.status) for check in found] == [
        ("gone", CheckStatus.UNKNOWN),
        ("holds", CheckStatus.PASSED),
    ]
    assert "unknown kind 'of-a-package'" in found[0].detail
