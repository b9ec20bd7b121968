"""What Airflow asks a provider package about itself."""

from __future__ import annotations

from typing import Any

INTEGRATION = "Rollback"


def get_provider_info() -> dict[str, Any]:
    """The provider's operators, sensors, triggers, hook, connection type with its form, and configuration."""
    return {
        "package-name": "airflow-provider-rollback",
        "name": "Rollback",
        "description": "Take a migration back safely: snapshot, generate, execute, verify.",
        "integrations": [{"integration-name": INTEGRATION, "external-doc-url": "", "tags": ["software"]}],
        "operators": [
            {
                "integration-name": INTEGRATION,
                "python-modules": [
                    f"rollback_provider.operators.{name}"
                    for name in (
                        "snapshot",
                        "check",
                        "checkpoint",
                        "generate",
                        "go_no_go",
                        "approval",
                        "execute",
                        "on_event",
                        "verify",
                        "report",
                        "prune",
                        "accept",
                        "rehearse",
                        "certificate",
                    )
                ],
            }
        ],
        "sensors": [
            {
                "integration-name": INTEGRATION,
                "python-modules": [
                    f"rollback_provider.sensors.{name}"
                    for name in ("certificate", "drained", "snapshot", "status", "trigger")
                ],
            }
        ],
        "triggers": [
            {
                "integration-name": INTEGRATION,
                "python-modules": [f"rollback_provider.triggers.{name}" for name in ("conditions", "drained")],
            }
        ],
        "hooks": [{"integration-name": INTEGRATION, "python-modules": ["rollback_provider.hooks.rollback_store"]}],
        "cli": ["rollback_provider.cli.airflow.get_commands"],
        "connection-types": [
            {
                "connection-type": "rollback_store",
                "hook-class-name": "rollback_provider.hooks.rollback_store.RollbackStoreHook",
                "hook-name": "Rollback snapshot store",
                "conn-fields": _CONNECTION_FIELDS,
                "ui-field-behaviour": {
                    "hidden-fields": ["port"],
                    "relabeling": {
                        "host": "Store URL",
                        "schema": "Folder",
                        "login": "Access key ID",
                        "password": "Secret access key",
                    },
                    "placeholders": {
                        "host": "s3://bucket/prefix or file:///absolute/path",
                        "schema": "Below the URL; may be empty",
                        "login": "Empty: the AWS connection below, or the environment",
                        "password": "Empty: the AWS connection below, or the environment",
                    },
                },
            }
        ],
        "config": {
            "rollback": {
                "description": "Rollback of migrations.",
                "options": {
                    "report_dir": {
                        "description": "Directory for the report of each rollback (HTML, JSON, Markdown). "
                        "Empty: rollback_reports under AIRFLOW_HOME.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/srv/rollback_reports",
                        "default": "",
                    }
                },
            }
        },
    }


_TEXT = {"type": ["string", "null"]}

_CONNECTION_FIELDS = {
    "aws_conn_id": {
        "label": "AWS connection",
        "description": "Id of an Amazon Web Services connection whose credentials, role and region open an s3:// store.",
        "schema": _TEXT,
    },
    "region_name": {"label": "Region", "description": "Region of the bucket.", "schema": _TEXT},
    "endpoint_url": {
        "label": "Endpoint URL",
        "description": "Only for services other than AWS, such as MinIO.",
        "schema": _TEXT,
    },
}
