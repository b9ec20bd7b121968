"""The JSON gateway of etcd's API, version 3: what kind ``etcd`` asks of it."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rollback_provider.clients.http import Api
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import PermissionDeniedError, StepFailedError

_PAGE = 500
"""Keys asked for at a time."""
_BAD_REQUEST = 400


class Entry(NamedTuple):
    """A key as etcd has it."""

    key: bytes
    value: bytes
    revision: int
    lease: int


class Gateway:
    """One member of a cluster. Raises what :class:`rollback_provider.clients.http.Api` raises."""

    def __init__(self, component: str, connection: Connection) -> None:
        self._component = component
        self._connection = connection
        self._api = Api(component, connection)
        self._headers: dict[str, str] = {}

    def log_in(self) -> None:
        """Gets a token for the connection's login, if it has one. Tokens end, so each client asks for its own."""
        if self._connection.login:
            body = {"name": self._connection.login, "password": self._connection.password or ""}
            self._headers = {"Authorization": self._ask("/v3/auth/authenticate", body)["token"]}

    def cluster(self, prefix: str) -> str:
        """The cluster's id."""
        answer = self._ask("/v3/kv/range", _range(prefix) | {"limit": 1, "keys_only": True})
        return str(answer["header"]["cluster_id"])

    def keys(self, prefix: str) -> Iterator[Entry]:
        """All keys that begin with `prefix`, in order, as of one revision."""
        request = _range(prefix) | {"limit": _PAGE}
        while True:
            answer = self._ask("/v3/kv/range", request)
            found = answer.get("kvs", ())
            for each in found:
                yield Entry(
                    b64decode(each["key"]),
                    b64decode(each.get("value", "")),
                    int(each["mod_revision"]),
                    int(each.get("lease", 0)),
                )
            if not answer.get("more"):
                return
            revision = request.get("revision", answer["header"]["revision"])
            request |= {"key": encode(b64decode(found[-1]["key"]) + b"\0"), "revision": revision}

    def swap(self, revisions: Mapping[str, int], operations: Sequence[Mapping[str, Any]]) -> bool:
        """Does all operations at once, if each key is at its revision still (0: there is none). Gives whether it did."""
        compare = [
            {"target": "MOD", "key": encode(key.encode()), "mod_revision": str(revision)}
            for key, revision in revisions.items()
        ]
        return bool(self._ask("/v3/kv/txn", {"compare": compare, "success": operations}).get("succeeded"))

    def close(self) -> None:
        """Closes the connection."""
        self._api.close()

    def _ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Asks. The gateway answers 400 to much, credentials among it: its words tell which."""
        response = self._api.send("POST", path, json=body, headers=self._headers, accept={_BAD_REQUEST})
        answer: dict[str, Any] = response.json()
        if response.status_code != _BAD_REQUEST:
            return answer
        said = str(answer.get("message", "refused"))
        if "user" in said or "auth" in said:
            raise PermissionDeniedError(
                said, component=self._component, next_step="Give the connection a login and password that etcd knows"
            )
        raise StepFailedError(said, component=self._component)


def encode(value: bytes) -> str:
    """Bytes as the gateway takes them."""
    return b64encode(value).decode()


def _range(prefix: str) -> dict[str, Any]:
    """All keys that begin with `prefix`: it ends before the prefix whose last byte is one more. UTF-8 has no byte 255."""
    key = prefix.encode()
    return {"key": encode(key), "range_end": encode(key[:-1] + bytes([key[-1] + 1]))}
