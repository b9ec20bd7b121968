"""Answers of AWS, as components see them and moto emulates them."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.retries.standard import ThrottledRetryableChecker

from rollback_provider.clients.aws import _OVERLOADED, Aws, command_line
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import (
    ComponentUnavailableError,
    ConfigurationError,
    PermissionDeniedError,
    RollbackError,
    StepFailedError,
)
from tests.fix_store import S3
from tests.parts import free_port
from tests.parts.gate import Gate

SECRET = S3("").options["secret_access_key"]


@pytest.fixture
def nothing_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of the machine."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))


def at(connection: Connection, **extra: Any) -> Connection:
    """The connection, with other fields in its extra."""
    return replace(connection, extra=connection.extra | extra)


def test_calls_and_pages(s3: S3) -> None:
    bucket, aws = s3.new_bucket(), Aws("objects", s3.connection("cloud"), "s3")
    for name in "abc":
        aws.call("put_object", Bucket=bucket, Key=name, Body=b"")
    pages = aws.items("list_objects_v2", "Contents", Bucket=bucket, PaginationConfig={"PageSize": 1})
    assert [each["Key"] for each in pages] == ["a", "b", "c"]
    missing = aws.call("get_object", Bucket=bucket, Key="d", accept={"NoSuchKey"})
    assert missing["Error"]["Code"] == "NoSuchKey"


def test_a_role_is_assumed(s3: S3) -> None:
    """By the amazon provider's own session."""
    sts = {"sts": {"endpoint_url": s3.endpoint}}
    role = "arn:aws:iam::123456789012:role/rollback"
    caller = Aws("x", at(s3.connection("cloud"), role_arn=role, service_config=sts), "sts").call("get_caller_identity")
    assert caller["Arn"].lower().endswith("assumed-role/rollback/airflow_cloud")


def test_the_region_of_the_component_wins(s3: S3) -> None:
    topic = Aws("x", s3.connection("cloud"), "sns", region="eu-west-1").call("create_topic", Name="region")
    assert ":eu-west-1:" in topic["TopicArn"]


@pytest.mark.parametrize(
    ("code", "error", "message", "tries"),
    [
        ("AccessDeniedException", PermissionDeniedError, "ssm get_parameter was refused: AccessDenied", 1),
        ("ExpiredTokenException", PermissionDeniedError, "check that its keys are valid", 1),
        ("ThrottlingException", ComponentUnavailableError, "was not served: ThrottlingException", 2),
        ("ValidationException", StepFailedError, "ValidationException: no such thing", 1),
    ],
)
def test_refusals(gate: Gate, s3: S3, code: str, error: type[RollbackError], message: str, tries: int) -> None:
    """Throttling and broken servers are tried again, refusals are not."""
    retries = {"retries": {"mode": "standard", "total_max_attempts": 2}}
    ssm = Aws("settings", at(s3.connection("cloud"), endpoint_url=gate.endpoint, config_kwargs=retries), "ssm")
    with gate.refusing("ssm", "GetParameter", code), pytest.raises(error, match=message) as caught:
        ssm.call("get_parameter", Name="/x")
    assert SECRET not in str(caught.value)
    assert gate.asked == ["GetParameter"] * tries


def test_a_service_that_is_broken(gate: Gate, s3: S3) -> None:
    functions = Aws("settings", at(s3.connection("cloud"), endpoint_url=gate.endpoint), "lambda")
    with (
        gate.refusing("lambda", "GetAlias", "ServiceException"),
        pytest.raises(ComponentUnavailableError, match="settings: lambda get_alias was not served: ServiceException"),
    ):
        functions.call("get_alias", FunctionName="f", Name="live")


def test_keys_that_nobody_knows_and_rights_that_are_missing(s3: S3) -> None:
    """By moto's own look at keys and policies."""
    with s3.authenticated(), pytest.raises(PermissionDeniedError, match="settings: ssm get_parameter was refused"):
        Aws("settings", s3.connection("cloud"), "ssm").call("get_parameter", Name="/x")
    users = s3.client("iam")
    users.create_user(UserName="reader")
    key = users.create_access_key(UserName="reader")["AccessKey"]
    connection = replace(s3.connection("reader"), login=key["AccessKeyId"], password=key["SecretAccessKey"])
    with s3.authenticated(), pytest.raises(PermissionDeniedError, match="ssm get_parameter was refused") as caught:
        Aws("settings", connection, "ssm").call("get_parameter", Name="/x")
    assert key["SecretAccessKey"] not in str(caught.value)


def test_all_that_botocore_calls_throttling_is_known() -> None:
    assert set(ThrottledRetryableChecker._THROTTLED_ERROR_CODES) <= _OVERLOADED


def test_nobody_answers(s3: S3) -> None:
    ssm = Aws("settings", at(s3.connection("cloud"), endpoint_url=f"http://127.0.0.1:{free_port()}"), "ssm")
    with pytest.raises(ComponentUnavailableError, match="AWS gives no answer"):
        ssm.call("get_parameter", Name="/x")


def test_parameters_that_make_no_sense_are_not_shown(s3: S3) -> None:
    with pytest.raises(StepFailedError, match="put_parameter does not take these parameters") as caught:
        Aws("x", s3.connection("cloud"), "ssm").call("put_parameter", Name="/x", Value=["hush"], Type="String")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        ({"region_name": None}, "NoRegionError"),
        ({"profile_name": "absent"}, "ProfileNotFound"),
        ({"role_arn": "arn:aws:iam::123456789012:role/x", "assume_role_method": "magic"}, "NotImplementedError"),
        ({"config_kwargs": {"no_such_setting": 1}}, "TypeError"),
        ({}, "NoCredentialsError"),
    ],
)
def test_a_connection_without_a_session(nothing_around: None, s3: S3, extra: dict[str, Any], why: str) -> None:
    connection = at(replace(s3.connection(f"cloud-{why}"), login=None, password=None), **extra)
    with pytest.raises(ConfigurationError, match=rf"'cloud-{why}' gives no session .*\({why}\)"):
        Aws("settings", connection, "ssm").call("get_parameter", Name="/x")


def test_another_type_of_connection() -> None:
    with pytest.raises(ConfigurationError, match="has type 'http', not 'aws'"):
        Aws("settings", Connection(id="cloud", type="http"), "ssm")


def test_command_lines() -> None:
    words = shlex.split(command_line("ssm", "put_parameter", {"Name": "/a", "Value": "it's"}, "--overwrite"))
    assert words[:5] == ["aws", "ssm", "put-parameter", "--overwrite", "--cli-input-json"]
    assert json.loads(words[5]) == {"Name": "/a", "Value": "it's"}
