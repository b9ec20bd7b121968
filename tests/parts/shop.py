"""A shop that needs its database: customers check out all the time, and Prometheus is told how many could not.

Run as ``python -m tests.parts.shop PORT DSN QUERY``; a checkout is this query.
"""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

import psycopg


class Shop:
    """Its cash desk."""

    def __init__(self, dsn: str, query: str) -> None:
        self.requests = self.errors = 0
        self._session = psycopg.connect(dsn, autocommit=True, prepare_threshold=None)
        self._query = query.encode()
        self._lock = Lock()

    def check_out(self) -> bool:
        """Serves a customer, if the database plays along."""
        with self._lock:
            self.requests += 1
            try:
                self._session.execute(self._query).fetchall()
            except psycopg.Error:
                self.errors += 1
                return False
        return True

    def customers(self) -> None:
        """They never stop."""
        while True:
            self.check_out()
            time.sleep(0.02)

    @property
    def metrics(self) -> str:
        """For Prometheus."""
        counts = {"requests": self.requests, "errors": self.errors}
        return "".join(f"# TYPE shop_{name}_total counter\nshop_{name}_total {n}\n" for name, n in counts.items())


def main() -> None:
    """Opens the shop."""
    shop = Shop(*sys.argv[2:])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served = self.path == "/metrics" or shop.check_out()
            body = shop.metrics.encode()
            self.send_response(200 if served else 500)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        Thread(target=shop.customers, daemon=True).start()
        server.serve_forever()


if __name__ == "__main__":
    main()
