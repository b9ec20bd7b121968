"""Moves a whole shop to its next version, system by system. If its own rules do not hold afterwards, everything goes back."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, task, task_group

from rollback_provider.guard import rollback_guard

SCRIPTS = Path(__file__).parent / "ecommerce"
SHOP = Path(os.environ.get("SHOP_HOME", "/srv/shop"))
BACKEND = "shop"
ZONE = "shop.test"
NEW_ADDRESS = "192.0.2.20"


def put(path: Path, text: str) -> None:
    """Writes a file beside its place and renames it, so that who reads it while users ask finds all of it."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, "utf-8")
    new.replace(path)


with DAG("ecommerce_cutover", schedule=None, catchup=False, tags=["rollback"], doc_md=__doc__):

    @task(retries=2, retry_delay=timedelta(seconds=5))
    def database(snapshot_id: str) -> None:
        """Runs `migration.sql` in one transaction, and seals in it which writes are its own."""
        from rollback_provider.hooks.rollback_store import RollbackStoreHook

        with RollbackStoreHook().migration(
            snapshot_id, "shop", alter=["orders", "products", "promotions"]
        ) as connection:
            connection.execute((SCRIPTS / "migration.sql").read_bytes())

    @task
    def settings() -> None:
        """Lets customers write longer notes, which the next release reads."""
        path = SHOP / "settings" / "shop.toml"
        put(path, path.read_text("utf-8") + "\n[delivery_notes]\nlongest = 500\n")

    @task
    def release() -> None:
        """Puts the next release where nobody is served yet."""
        new = SHOP / "green.new"
        new.unlink(missing_ok=True)
        new.symlink_to("releases/v2")
        new.replace(SHOP / "green")

    @task
    def flag() -> None:
        """Switches delivery notes on."""
        import json

        path = SHOP / "flags.json"
        flags = json.loads(path.read_text("utf-8"))
        flags["flags"]["delivery-notes"]["defaultVariant"] = "on"
        put(path, json.dumps(flags, indent=2))

    @task
    def users() -> None:
        """Opens the new server, sends everybody there, and lets the old one end its sessions."""
        from rollback_provider.components.traffic.haproxy_socket import RuntimeApi
        from rollback_provider.hooks.connections import airflow_connections

        edge = RuntimeApi("edge", airflow_connections("edge_haproxy"))
        edge.do(f"set server {BACKEND}/green state ready")
        edge.stick(BACKEND, dict.fromkeys(edge.stuck(BACKEND), "green"))
        edge.do(f"set server {BACKEND}/blue state drain")

    @task
    def name() -> None:
        """Leads the shop's name to the new address."""
        import dns.query
        import dns.tsig
        import dns.update

        from rollback_provider.hooks.connections import airflow_connections

        names = airflow_connections("names_dns")
        update = dns.update.UpdateMessage(ZONE, keyring=dns.tsig.Key(names.login, names.password, "hmac-sha256"))
        update.replace("www", 60, "A", NEW_ADDRESS)
        dns.query.tcp(update, names.host, port=names.port, timeout=10)

    @task_group
    def migrate() -> None:
        """One system after the other."""
        changed = database("{{ ti.xcom_pull('snapshot') }}"), settings()
        changed >> release() >> flag() >> users() >> name()

    @task
    def verify_migration() -> None:
        """Fails where an order has been paid with another amount than it costs."""
        from airflow.providers.postgres.hooks.postgres import PostgresHook

        wrong = PostgresHook("ecommerce_db").get_records((SCRIPTS / "wrongly_paid.sql").read_text("utf-8"))
        if wrong:
            raise ValueError(f"{len(wrong):,} orders were paid with another amount than they cost")

    rollback_guard(
        migration="shop-cutover",
        components=[
            {"kind": "postgres", "name": "shop", "connection": "ecommerce_db"},
            {"kind": "files", "name": "settings", "root": str(SHOP / "settings")},
            {
                "kind": "release",
                "name": "release",
                "repository": str(SHOP / "repository"),
                "links": [str(SHOP / "green")],
                "after": ["shop", "settings"],
            },
            {"kind": "flagd", "name": "flags", "path": str(SHOP / "flags.json"), "after": ["release"]},
            {
                "kind": "haproxy",
                "name": "edge",
                "connection": "edge_haproxy",
                "backends": [BACKEND],
                "drain_seconds": 10,
                "after": ["flags"],
            },
            {"kind": "dns", "name": "names", "connection": "names_dns", "zone": ZONE, "after": ["edge"]},
        ],
        quiet=True,
        migrate=migrate(),
        verify=verify_migration,
    )
