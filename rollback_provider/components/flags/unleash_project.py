"""One project of an Unleash, by its Admin API: what kind ``unleash`` asks of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from rollback_provider.clients.http import Api
from rollback_provider.components.flags.unleash_stages import Call, fields_of
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ComponentUnavailableError
from rollback_provider.resources import Fields

_NOT_FOUND = 404
_PAGE = 100


class Project:
    """Flags of a project. Raises what :class:`rollback_provider.clients.http.Api` raises."""

    def __init__(self, component: str, connection: Connection, project: str) -> None:
        self._component = component
        self._project = project
        self._path = f"/api/admin/projects/{quote(project, safe='')}"
        self._api = Api(component, connection, headers={"Authorization": connection.password or ""})

    def installation(self) -> str:
        """The id of this Unleash, which its database holds."""
        return str(self._api.get("/api/admin/ui-config").json()["versionInfo"]["instanceId"])

    def names(self) -> list[str]:
        """All flags that are not archived. Raises ComponentUnavailableError where there is no such project."""
        names = [each["name"] for each in self._api.get(f"{self._path}/features").json()["features"]]
        missing = not names and self._api.get(f"{self._path}/overview", accept={_NOT_FOUND}).status_code == _NOT_FOUND
        if missing:  # Unleash gives an empty list for it
            raise ComponentUnavailableError(
                f"Unleash has no project {self._project!r}, or the token may not see it",
                component=self._component,
                next_step="Correct the option `project`, or give the connection a token for it",
            )
        return names

    def flag(self, name: str) -> Fields | None:
        """A flag; None where it is archived, or there is none."""
        response = self._api.get(self._flag(name), accept={_NOT_FOUND})
        if response.status_code == _NOT_FOUND:
            return None
        found = response.json()
        return fields_of(found, found["environments"])

    def archived(self, name: str) -> Fields | None:
        """What a flag would be if it were revived; None where no flag of this name is archived."""
        for found in self._archive(name):
            if found["name"] == name:
                environments = [
                    {"name": each["name"], "enabled": False, "strategies": self._strategies(name, each["name"])}
                    for each in found["environments"]
                    if each["hasStrategies"]
                ]
                return fields_of(found, environments)
        return None

    def strategy_ids(self, name: str, environment: str) -> list[str]:
        """Ids of the strategies of a flag in an environment, in order."""
        return [each["id"] for each in self._strategies(name, environment)]

    def create(self, name: str, fields: Fields) -> None:
        """Creates a flag that is off everywhere."""
        about = {key: fields[key] for key in ("description", "type", "impressionData")}
        self._api.send("POST", f"{self._path}/features", json={"name": name, **about})

    def revive(self, name: str) -> None:
        """Takes a flag out of the archive, off everywhere."""
        self._api.send("POST", f"{self._path}/revive", json={"features": [name]})

    def archive(self, name: str) -> None:
        """Archives a flag."""
        self._api.send("POST", f"{self._path}/archive", json={"features": [name]})

    def do(self, name: str, call: Call) -> None:
        """Changes a flag."""
        self._api.send(call.method, self._flag(name) + call.path, **({"json": call.body} if call.body else {}))

    def close(self) -> None:
        """Closes the connection."""
        self._api.close()

    def _flag(self, name: str) -> str:
        return f"{self._path}/features/{quote(name, safe='')}"

    def _strategies(self, name: str, environment: str) -> list[dict[str, Any]]:
        found = self._api.get(f"{self._flag(name)}/environments/{quote(environment, safe='')}/strategies").json()
        return sorted(found, key=lambda each: each["sortOrder"])

    def _archive(self, query: str) -> Iterator[dict[str, Any]]:
        asked = {"project": f"IS:{self._project}", "archived": "IS:true", "query": query}
        offset, total = 0, 1
        while offset < total:
            answer = self._api.get("/api/admin/search/features", params={**asked, "limit": _PAGE, "offset": offset})
            found = answer.json()
            yield from found["features"]
            offset, total = offset + _PAGE, found["total"]
