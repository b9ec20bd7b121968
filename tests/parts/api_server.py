"""A stand-in for a Kubernetes API server, where none can run: objects of two kinds, versions, conflicts, a controller of rollouts.

It keeps to what the API promises and the real one does: a resource version that each write changes, 409 for a stale one, a generation
that a changed ``spec`` raises, 422 for a changed selector, 401 without the token. It knows no pods: a rollout is complete at the
second look, or never, where ``stuck`` names its image. While it is ``down`` it hangs up.
"""

from __future__ import annotations

import json
import threading
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any


class ApiServer(ThreadingHTTPServer):
    """The objects, by path."""

    daemon_threads = True

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.token = token
        self.objects: dict[str, dict[str, Any]] = {}
        self.stuck: set[str] = set()
        self.down = False
        self.versions = count(1)
        self.lock = threading.RLock()
        self.port = self.server_address[1]

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Stores an object as the API does."""
        with self.lock:
            before = self.objects.get(path)
            stored = deepcopy(body)
            generation = before["metadata"]["generation"] if before else 0
            if before is None or before.get("spec") != stored.get("spec"):
                generation += 1
            stored["metadata"] |= {"resourceVersion": str(next(self.versions)), "generation": generation}
            stored["metadata"].setdefault("uid", f"uid-{next(self.versions)}")
            stored["status"] = before.get("status", {}) if before else {}
            self.objects[path] = stored
            return stored

    def look(self, path: str) -> dict[str, Any] | None:
        """Gives an object, and lets the controller work after that."""
        with self.lock:
            found = deepcopy(self.objects.get(path))
            if found and "/deployments/" in path:
                self._roll_out(self.objects[path])
            return found

    def _roll_out(self, stored: dict[str, Any]) -> None:
        images = {each["image"] for each in stored["spec"]["template"]["spec"]["containers"]}
        replicas = stored["spec"].get("replicas", 1)
        updated = 0 if images & self.stuck else replicas
        status = {
            "observedGeneration": stored["metadata"]["generation"],
            "replicas": replicas,
            "updatedReplicas": updated,
            "availableReplicas": replicas,
        }
        if stored["status"] != status:
            stored["status"] = status
            stored["metadata"]["resourceVersion"] = str(next(self.versions))


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it
        """Says nothing."""

    def do_GET(self) -> None:
        """Reads."""
        if self._known() and (found := self.server.look(self.path)):
            self._answer(200, found)

    def do_POST(self) -> None:
        """Creates."""
        body = self._body()
        path = f"{self.path}/{body['metadata']['name']}"
        with self.server.lock:
            if self._allowed() and (path not in self.server.objects or self._refuse(409, "AlreadyExists")):
                self._answer(201, self.server.put(path, body))

    def do_PUT(self) -> None:
        """Replaces, where the version is the stored one."""
        body = self._body()
        with self.server.lock:
            if not self._known():
                return
            before = self.server.objects[self.path]
            version = body["metadata"].get("resourceVersion")
            if version not in (None, before["metadata"]["resourceVersion"]):
                self._refuse(409, "Conflict")
            elif body.get("spec", {}).get("selector") != before.get("spec", {}).get("selector"):
                self._refuse(422, "Invalid: spec.selector: field is immutable")
            else:
                self._answer(200, self.server.put(self.path, body))

    def do_DELETE(self) -> None:
        """Deletes, where the precondition holds."""
        body = self._body()
        with self.server.lock:
            if not self._known():
                return
            version = body.get("preconditions", {}).get("resourceVersion")
            if version not in (None, self.server.objects[self.path]["metadata"]["resourceVersion"]):
                self._refuse(409, "Conflict")
            else:
                del self.server.objects[self.path]
                self._answer(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        return body

    def _allowed(self) -> bool:
        if self.server.down:
            self.close_connection = True
            return False
        return self.headers.get("Authorization") == f"Bearer {self.server.token}" or self._refuse(401, "Unauthorized")

    def _known(self) -> bool:
        return self._allowed() and (self.path in self.server.objects or self._refuse(404, "NotFound"))

    def _refuse(self, code: int, reason: str) -> bool:
        self._answer(code, {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": reason})
        return False

    def _answer(self, code: int, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
