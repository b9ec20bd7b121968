"""Options of foreign data. They may be secrets, and a secret is never read into a snapshot.

Of servers, user mappings and wrappers only options that are known to be harmless are read in clear; of tables and columns all but those
that are called like a secret. Of the others 16 bits of a hash are kept: enough to notice that a value has changed, too few to find it out.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollback_provider.components.postgres.catalog.entry import Entry
from rollback_provider.components.postgres.catalog.kinds.base import Scene
from rollback_provider.components.postgres.catalog.sql_text import ident, literal

FACTS = frozenset({"options", "hidden_options"})
HARMLESS = """
    host hostaddr port dbname user username service servername server address database dbserver application_name client_encoding
    connect_timeout keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout target_session_attrs
    load_balance_hosts sslmode sslcompression sslsni gssencmode channel_binding
    fetch_size batch_size async_capable use_remote_estimate fdw_startup_cost fdw_tuple_cost analyze_sampling extensions updatable
    truncatable keep_connections parallel_commit parallel_abort import_collate import_default import_generated import_not_null
    password_required tds_version isolation_level nls_lang
""".split()  # noqa: SIM905 - a list of quoted words would not read better
_SECRETIVE = "pass|pwd|secret|token|credential|auth|private|api_?key|access_?key|program|uri|url"


def options_of(server_side: str) -> str:
    """Facts for json_build_object: options of a server, a user mapping or a wrapper, from an SQL expression."""
    return _facts(server_side, f"option_name = any('{{{','.join(HARMLESS)}}}')")


def table_options_of(table_side: str) -> str:
    """The same for a foreign table or one of its columns."""
    return _facts(table_side, f"option_name !~* '{_SECRETIVE}'")


def _facts(options: str, harmless: str) -> str:
    hashed = "left(encode(sha256(convert_to(option_name || '=' || option_value, 'UTF8')), 'hex'), 4)"
    chosen = "(select json_object_agg(option_name, {} order by option_name) from pg_options_to_table({}) where {})"
    return (
        f"'options', {chosen.format('option_value', options, harmless)}, "
        f"'hidden_options', {chosen.format(hashed, options, f'not ({harmless})')}"
    )


def with_options(then: Entry, scene: Scene) -> str:
    """`` OPTIONS (…)`` as CREATE takes it, empty where there are none; refuses what is not known."""
    _refuse_hidden(then, None, scene)
    options = ", ".join(f"{ident(name)} {literal(value)}" for name, value in then.facts.get("options", {}).items())
    return f" OPTIONS ({options})" if options else ""


def changed_options(then: Entry, now: Entry, scene: Scene) -> str:
    """`` OPTIONS (…)`` as ALTER takes it, empty where nothing differs; refuses what is not known."""
    _refuse_hidden(then, now, scene)
    options = ", ".join(_changes(then, now))
    return f" OPTIONS ({options})" if options else ""


def _changes(then: Entry, now: Entry) -> Iterator[str]:
    before, after = then.facts.get("options", {}), now.facts.get("options", {})
    unknown = now.facts.get("hidden_options", {}).keys() - then.facts.get("hidden_options", {}).keys()
    for name in sorted(after.keys() - before.keys() | unknown):
        yield f"DROP {ident(name)}"
    for name, value in before.items():
        if after.get(name) != value:
            yield f"{'SET' if name in after else 'ADD'} {ident(name)} {literal(value)}"


def _refuse_hidden(then: Entry, now: Entry | None, scene: Scene) -> None:
    after = now.facts.get("hidden_options", {}) if now else {}
    for name, hashed in then.facts.get("hidden_options", {}).items():
        if after.get(name) != hashed:
            happened = "was changed" if now else "is gone with it"
            scene.refuse(
                f"{then.label}: option {name} {happened}; it may be a secret and is not in the snapshot. "
                "Put it back by hand, then plan again"
            )
