"""Fixtures live in small files of their own, one part each."""

pytest_plugins = [
    "tests.fix_scratch",  # before whoever makes temporary files
    "tests.fix_airflow",
    "tests.fix_bind",
    "tests.fix_caddy",
    "tests.fix_ctl",
    "tests.fix_etcd",
    "tests.fix_haproxy",
    "tests.fix_kubernetes",
    "tests.fix_memory",
    "tests.fix_nginx",
    "tests.fix_no_skips",
    "tests.fix_postgres",
    "tests.fix_pooler",
    "tests.fix_powerdns",
    "tests.fix_progress",
    "tests.fix_prometheus",
    "tests.fix_server",
    "tests.fix_servers",
    "tests.fix_setting",
    "tests.fix_records",
    "tests.fix_releases",
    "tests.fix_store",
    "tests.fix_tofu",
    "tests.fix_unleash",
]
