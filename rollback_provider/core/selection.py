"""A rollback of a part: only some components, or only some of what they hold. The record says that it was one, and of what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rollback_provider.core.component import Component, Selective
from rollback_provider.core.errors import ConfigurationError, UnsupportedError
from rollback_provider.core.model import Policy


def select(policy: Policy, name: str, component: Component, scopes: Iterable[str]) -> Policy | None:
    """The policy for one component: it names what of the component is rolled back. None where nothing of it is.

    :param scopes: what `component` holds, as `only` and `rows` may name it
    """
    if not policy.partial:
        return policy
    known = set(scopes)
    rows = {scope: predicate for scope, predicate in policy.rows.items() if scope in known}
    only = tuple(scope for scope in policy.only if scope in known)
    if not (only or rows or name in policy.only or not (policy.only or policy.rows)):
        return None
    if (only or rows or policy.part != "all") and not isinstance(component, Selective):
        raise UnsupportedError(f"Kind {component.kind!r} is rolled back as a whole", component=name)
    return policy.model_copy(update={"only": () if name in policy.only else only, "rows": rows})


def refuse_unknown(policy: Policy, holds: Mapping[str, Iterable[str]]) -> None:
    """Raises ConfigurationError for what names nothing, or something in more than one component.

    :param holds: what each component holds
    """
    for wanted in (*policy.only, *policy.rows):
        homes = [name for name, scopes in holds.items() if wanted == name or wanted in scopes]
        if len(homes) != 1:
            what = f"is in several components: {', '.join(homes)}" if homes else "names nothing in the snapshot or now"
            raise ConfigurationError(f"{wanted!r} {what}", next_step="Name components, or objects as schema.name")
