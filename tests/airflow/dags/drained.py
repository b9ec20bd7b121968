"""Waits in the triggerer for a server's sessions to end."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from rollback_provider.sensors import TrafficDrainedSensor

with DAG("drained", schedule=None):
    TrafficDrainedSensor(
        task_id="wait",
        component={"kind": "haproxy", "name": "edge", "connection": "edge", "backends": ["shop"]},
        server="shop/{{ dag_run.conf['server'] }}",
        limit=timedelta(seconds=0.3),
        poke_interval=0.1,
        deferrable=True,
    )
