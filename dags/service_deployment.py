"""Provisions what a service needs and switches its feature on. If the service does not answer well afterwards, both go back."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, task, task_group

from rollback_provider.guard import rollback_guard

STACK = Path(os.environ.get("SERVICE_HOME", "/srv/service")) / "web"
VERSION = "v2"
FLAG = "checkout-express"
PROJECT = "default"

with DAG("service_deployment", schedule=None, catchup=False, tags=["rollback"], doc_md=__doc__):

    @task(execution_timeout=timedelta(hours=1))
    def provision() -> None:
        """Applies the next version of the stack."""
        from rollback_provider.clients.command import Program
        from rollback_provider.hooks.connections import airflow_connections

        variables = airflow_connections("infra").extra.get("environment", {})
        git = Program("infra", "git", cwd=STACK)
        tofu = Program("infra", "tofu", cwd=STACK, environment=variables, secrets=tuple(variables.values()))
        git.run("checkout", "--quiet", VERSION, timeout=60)
        tofu.run("apply", "-auto-approve", "-input=false", "-no-color", timeout=3600)

    @task
    def switch_on() -> None:
        """Turns the feature on in production."""
        import httpx

        from rollback_provider.clients.http import base_url
        from rollback_provider.hooks.connections import airflow_connections

        unleash = airflow_connections("unleash")
        path = f"/api/admin/projects/{PROJECT}/features/{FLAG}/environments/production/on"
        headers = {"Authorization": unleash.password or ""}
        httpx.post(base_url(unleash) + path, headers=headers, timeout=30).raise_for_status()

    @task_group
    def migrate() -> None:
        """First what the feature needs, then the feature."""
        provision() >> switch_on()

    @task
    def verify_migration() -> None:
        """Fails where the service says that it is not well."""
        import httpx

        from rollback_provider.clients.http import base_url
        from rollback_provider.hooks.connections import airflow_connections

        httpx.get(base_url(airflow_connections("service_http")) + "/health", timeout=10).raise_for_status()

    rollback_guard(
        migration="service-v2",
        components=[
            {"kind": "opentofu", "name": "infra", "connection": "infra", "directories": [str(STACK)]},
            {
                "kind": "unleash",
                "name": "flags",
                "connection": "unleash",
                "project": PROJECT,
                "flags": ["checkout-*"],
                "after": ["infra"],
            },
        ],
        quiet=True,
        migrate=migrate(),
        verify=verify_migration,
    )
