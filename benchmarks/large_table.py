"""A table of mixed columns, about 250 bytes a row, and the migration that the benchmark takes back."""

from __future__ import annotations

import psycopg

from rollback_provider.components.postgres.embedded import Server

TABLE = """
    create table measurements (
        id bigint generated always as identity primary key,
        customer_id bigint not null,
        status text not null,
        amount numeric(12,2) not null,
        quantity integer not null,
        ratio double precision,
        created_at timestamptz not null,
        updated_at timestamptz,
        day date not null,
        email text not null,
        note text,
        code varchar(20),
        payload jsonb,
        active boolean not null,
        token uuid not null
    );
    create table settings (name text primary key, value text not null);
"""
ROWS = """
    insert into measurements (customer_id, status, amount, quantity, ratio, created_at, updated_at,
        day, email, note, code, payload, active, token)
    select n * 7919 %% 100000, (array['new', 'paid', 'sent', 'done'])[1 + n %% 4], n %% 100000 / 100.0, n %% 100,
        1.0 / (1 + n %% 1000), timestamptz '2020-01-01 00:00+00' + n * interval '30 seconds',
        case when n %% 3 > 0 then timestamptz '2020-01-02 00:00+00' + n * interval '30 seconds' end,
        date '2020-01-01' + (n %% 2000)::int, 'customer' || n * 7919 %% 100000 || '@example.com', md5(n::text),
        case when n %% 2 = 0 then 'C-' || n end,
        jsonb_build_object('number', n, 'tags', array['a', 'b', (n %% 50)::text]), n %% 7 > 0, md5(n::text)::uuid
    from generate_series(1, %s::bigint) n
"""
SETTINGS = "insert into settings select 'setting ' || n, md5(n::text) from generate_series(1, 1000) n"
MIGRATION = (
    "alter table measurements rename status to state",
    "update measurements set amount = amount + 1, note = 'migrated' where id % 100 = 1",
    """
    insert into measurements (customer_id, state, amount, quantity, created_at, day, email, active, token)
    select n, 'new', 1, 1, now(), current_date, 'new@example.com', true, gen_random_uuid()
    from generate_series(1, 1000) n
    """,
    "delete from measurements where id % 100 = 2 and id <= 100000",
    "drop table settings",
)
"""A column renamed, 1 % of the rows rewritten, 1,000 inserted, 1,000 deleted, a small table dropped."""


def create(server: Server, database: str, rows: int) -> None:
    """Makes `database` with `rows` rows, copied from a template that is loaded the first time."""
    template = f"measurements_{rows}"
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        known = connection.execute("select datname from pg_database where datname = %s", [template]).fetchone()
    if not known:
        loading = f"{template}_loading"
        server.create(loading)
        with psycopg.connect(server.dsn(loading), autocommit=True) as connection:
            connection.execute(TABLE)
            connection.execute(ROWS, [rows])
            connection.execute(SETTINGS)
            connection.execute("vacuum (analyze)")
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"alter database {loading} rename to {template}".encode())
    server.create(database, template=template)
    warm_up(server, database)


def warm_up(server: Server, database: str) -> None:
    """Writes out what is dirty, and reads the tables once."""
    with psycopg.connect(server.dsn(database), autocommit=True) as connection:
        connection.execute("checkpoint")
        connection.execute("select sum(hashtext(measurements::text)) from measurements where id % 1000 = 0")


def migrate(server: Server, database: str) -> None:
    """Runs the migration."""
    with psycopg.connect(server.dsn(database), autocommit=True) as connection:
        for statement in MIGRATION:
            connection.execute(statement.encode())


def write_a_little(server: Server, database: str) -> None:
    """Applications change one row in a thousand."""
    with psycopg.connect(server.dsn(database), autocommit=True) as connection:
        connection.execute("update measurements set quantity = quantity + 1 where id % 1000 = 7")


def heap_bytes(server: Server, database: str) -> int:
    """Size of the table's heap."""
    with psycopg.connect(server.dsn(database), autocommit=True) as connection:
        [(size,)] = connection.execute("select pg_relation_size('measurements')").fetchall()
    return int(size)
