"""A web server of the shop: answers with its name and with what it runs, reading link, settings and flag anew for each request.

python -m rollback_provider.demo.web NAME HOME PORT
"""

from __future__ import annotations

import json
import sys
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def describe(name: str, home: Path) -> dict[str, Any]:
    """What a customer sees of the shop on this server."""
    settings = tomllib.loads((home / "settings" / "shop.toml").read_text("utf-8"))
    flags = json.loads((home / "flags.json").read_text("utf-8"))["flags"]
    return {
        "server": name,
        "release": (home / name / "version").read_text("utf-8").strip(),
        "delivery notes": flags["delivery-notes"]["defaultVariant"],
        "longest note": settings.get("delivery_notes", {}).get("longest"),
    }


def serve(name: str, home: Path, port: int) -> None:
    """Serves until the process ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(describe(name, home)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
