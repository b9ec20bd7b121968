"""The embedded server of demo, corpus and benchmarks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from rollback_provider.components.postgres.embedded import Server, running_server
from rollback_provider.core.errors import ConfigurationError
from rollback_provider.demo.shop import DATABASE, OWNER, create_shop

SCRIPTS = Path(__file__).parents[2] / "dags" / "ecommerce"
LEAVE_IT_RUNNING = """
import os, sys
from pathlib import Path
from rollback_provider.components.postgres.embedded import running_server
with running_server(Path(sys.argv[1])):
    os._exit(0)  # as if killed: nothing is cleaned up
"""


def test_a_server_is_stopped_reused_and_taken_over_from_a_killed_process(tmp_path: Path) -> None:
    directory = tmp_path / "postgres"
    with running_server(directory) as server:
        server.create("kept")
        with pytest.raises(ConfigurationError, match="Another process"), running_server(directory):
            pass
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.dsn("kept"))
    subprocess.run([sys.executable, "-W", "ignore", "-c", LEAVE_IT_RUNNING, directory], check=True)
    psycopg.connect(server.dsn("kept")).close()
    with running_server(directory) as again, psycopg.connect(again.dsn("kept")) as connection:
        assert connection.execute("select current_database()").fetchall() == [("kept",)]
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.dsn("kept"))


def test_the_shop_is_as_large_and_consistent_as_promised(server: Server) -> None:
    create_shop(server, SCRIPTS)
    with psycopg.connect(server.dsn(DATABASE, OWNER)) as connection:
        [(orders, wrong)] = connection.execute("""
            select count(*), count(*) filter (where total <> amount)
            from orders join (select order_id, sum(amount) as amount from order_items group by 1) items on order_id = id
        """).fetchall()
        [(superuser,)] = connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchall()
        [(first,)] = connection.execute("select md5(string_agg(orders::text, '' order by id)) from orders").fetchall()
        connection.execute("drop table promotions")
    create_shop(server, SCRIPTS)
    with psycopg.connect(server.dsn(DATABASE, OWNER)) as connection:
        [(second,)] = connection.execute("select md5(string_agg(orders::text, '' order by id)) from orders").fetchall()
        [(promotions,)] = connection.execute("select count(*) from promotions").fetchall()
    assert orders >= 200_000
    assert wrong == 0
    assert superuser is False
    assert first == second
    assert promotions == 300
