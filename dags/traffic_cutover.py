"""Moves a shop's users from the old server to the new one: load balancer, sticky sessions, name. If checkout fails there, all goes back."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from rollback_provider.guard import rollback_guard

BACKEND = "shop"
ZONE = "shop.test"
NEW_ADDRESS = "192.0.2.20"

with DAG("traffic_cutover", schedule=None, catchup=False, tags=["rollback"], doc_md=__doc__):

    @task(execution_timeout=timedelta(minutes=10))
    def migrate() -> None:
        """Opens the new server, sends users there, lets the old one end its sessions, and moves the name."""
        import dns.query
        import dns.tsig
        import dns.update

        from rollback_provider.components.traffic.haproxy_socket import RuntimeApi
        from rollback_provider.hooks.connections import airflow_connections

        edge = RuntimeApi("edge", airflow_connections("edge_haproxy"))
        edge.do(f"set server {BACKEND}/green state ready")
        edge.stick(BACKEND, dict.fromkeys(edge.stuck(BACKEND), "green"))
        edge.do(f"set server {BACKEND}/blue state drain")

        names = airflow_connections("names_dns")
        update = dns.update.UpdateMessage(ZONE, keyring=dns.tsig.Key(names.login, names.password, "hmac-sha256"))
        update.replace("www", 60, "A", NEW_ADDRESS)
        dns.query.tcp(update, names.host, port=names.port, timeout=10)

    @task
    def verify_migration() -> None:
        """Fails where a customer cannot pay."""
        import httpx

        from rollback_provider.clients.http import base_url
        from rollback_provider.hooks.connections import airflow_connections

        with httpx.Client(base_url=base_url(airflow_connections("shop_http")), timeout=5) as shop:
            failed = sum(shop.get("/checkout").is_error for _ in range(20))
        if failed:
            raise ValueError(f"{failed} of 20 customers could not pay")

    rollback_guard(
        migration="shop-to-green",
        components=[
            {
                "kind": "haproxy",
                "name": "edge",
                "connection": "edge_haproxy",
                "backends": [BACKEND],
                "drain_seconds": 10,
            },
            {"kind": "dns", "name": "names", "connection": "names_dns", "zone": ZONE, "after": ["edge"]},
        ],
        quiet=True,
        migrate=migrate,
        verify=verify_migration,
    )
