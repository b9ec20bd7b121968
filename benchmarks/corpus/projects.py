"""The projects of the corpus."""

from __future__ import annotations

from benchmarks.corpus.project import Project

MLFLOW = Project(
    name="mlflow",
    requirements="mlflow.txt",
    driver=(
        "alembic_driver",
        "mlflow.store.db_migrations",
        "mlflow.store.tracking.dbmodels.initial_models:Base",
    ),
    # Some revisions move what they find under these keys into columns of their own, and delete it.
    values={
        "spans.dimension_attributes": ('{"mlflow.llm.model": "one"}', '{"mlflow.llm.provider": "two"}', "{}"),
        "trace_tags.key": ("mlflow.traceName", "color", "ünïcödé\ttab"),
        "trace_request_metadata.key": ("mlflow.trace.session", "mlflow.trace.tokenUsage", "mlflow.trace.cost", "other"),
        "trace_request_metadata.value": ('{"input_tokens": 3, "output_tokens": 4, "total_cost": 0.5}', "session-1", ""),
        "trace_metrics.key": ("input_tokens", "output_tokens", "total_tokens", "latency"),
        "span_metrics.key": ("input_cost", "output_cost", "total_cost", "latency"),
        "issues.categories": ('["slow", "wrong"]', "[]"),
        "assessments.value": ("true", "1.5", '"yes"', '{"a": [1, null]}'),
    },
)

AIRFLOW = Project(
    name="airflow",
    requirements="airflow.txt",
    driver=("alembic_driver", "airflow.migrations", ""),
)
PRETIX = Project(name="pretix", requirements="pretix.txt", driver=("django_driver", "pretix.settings"))

PROJECTS = {project.name: project for project in (AIRFLOW, MLFLOW, PRETIX)}
