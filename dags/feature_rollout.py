"""Releases the next version of an application and runs its own tests against it. If they fail, the release before is there again."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.sdk import DAG, task

from rollback_provider.guard import rollback_guard

APPLICATION = Path(os.environ.get("APPLICATION_HOME", "/srv/application"))
VERSION = "v2"

with DAG("feature_rollout", schedule=None, catchup=False, tags=["rollback"], doc_md=__doc__):

    @task
    def migrate() -> None:
        """Leads the link to the new release: users get the old one or the new one, never neither."""
        new = APPLICATION / "web.new"
        new.unlink(missing_ok=True)
        new.symlink_to(f"releases/{VERSION}")
        new.replace(APPLICATION / "web")

    @task
    def verify_migration() -> None:
        """Runs the tests that come with the release."""
        from rollback_provider.clients.command import Program

        Program("application", str(APPLICATION / "web" / "run-tests")).run(timeout=600)

    rollback_guard(
        migration="application-v2",
        components=[
            {
                "kind": "release",
                "name": "application",
                "repository": str(APPLICATION / "repository"),
                "links": [str(APPLICATION / "web")],
            }
        ],
        quiet=True,
        migrate=migrate,
        verify=verify_migration,
    )
