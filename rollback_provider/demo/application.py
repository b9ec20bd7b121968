"""The shop's application: places orders, takes payments and edits notes, two hundred times a second, until stopped.

It behaves as an application in production does: a statement that fails is tried again, and a write counts only once
its commit was acknowledged. Each acknowledged write is one line of a log, so that afterwards all can be looked for.

    python -m rollback_provider.demo.application DSN LOG

It stops when its standard input ends, also where the process that started it was killed.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import IO, Any

import psycopg
from psycopg import sql

RATE = 200
"""Writes a second."""
NOTE_COLUMNS = ("note", "customer_note")
"""What the application calls the note before the migration and after it: a release ahead of it knows both."""
LOCK_TIMEOUT = "3s"
_EXISTING = "select (select max(id) from customers), (select max(id) from products), (select max(id) from orders)"
Write = Callable[[psycopg.Connection, str], int | None]
"""Carries out one write with a token, in a transaction; returns the row's id, or None if there is nothing to do."""
_UNKNOWN_RESULT = (psycopg.OperationalError, psycopg.InterfaceError)


class Application:
    """Writes to the shop until `stop` is set.

    :param log: gets a JSON line for each acknowledged write: its kind, the id of the order (of the payment for
        ``pay``), its token, when it was acknowledged, and how many milliseconds it took, retries included
    """

    def __init__(self, dsn: str, log: IO[str], *, seed: int = 1) -> None:
        self._dsn = dsn
        self._log = log
        self._random = Random(seed)  # noqa: S311 - the same writes every time
        self._connection: psycopg.Connection | None = None
        self._note = 0
        self._unpaid: deque[int] = deque(maxlen=1000)
        self._edited: set[int] = set()
        self._existing: tuple[int, int, int] = (0, 0, 0)
        self.stop = threading.Event()
        self.errors: Counter[str] = Counter()
        self.unknown = 0

    def run(self) -> None:
        """Writes at :data:`RATE` until told to stop; leaves no connection open."""
        writes: tuple[Write, ...] = (*[self._place] * 6, self._pay, self._edit)
        number = 0
        due = time.monotonic()
        while not self.stop.is_set():
            number += 1
            self._write(writes[number % len(writes)], f"write-{number:08d}")
            due = max(due + 1 / RATE, time.monotonic() - 1)  # catches up for a second of outage at most
            self.stop.wait(due - time.monotonic())
        if self._connection:
            self._connection.close()

    def _write(self, write: Write, token: str) -> None:
        """Carries one write through: it is acknowledged, or did not happen and is tried again, or nobody knows."""
        started = time.monotonic()
        while not self.stop.is_set():
            try:
                connection = self._connect()
                with connection.transaction():
                    key = write(connection, token)
            except psycopg.errors.UndefinedColumn as error:
                self._failed(error)
                self._note = 1 - self._note
            except _UNKNOWN_RESULT as error:
                self._failed(error)
                if self._connection and self._connection.closed:
                    self.unknown += 1
                    return
            except psycopg.Error as error:
                self._failed(error)
            else:
                if key is not None:
                    self._acknowledged(write.__name__.strip("_"), key, token, time.monotonic() - started)
                return
            self.stop.wait(0.02)

    def _connect(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._dsn, autocommit=True, application_name="shop", options=f"-c lock_timeout={LOCK_TIMEOUT}"
            )
            if not all(self._existing):
                customers, products, orders = self._returned(self._connection.execute(_EXISTING))
                self._existing = (customers, products, orders)
        return self._connection

    def _place(self, connection: psycopg.Connection, token: str) -> int:
        customers, products, _ = self._existing
        customer, product = self._random.randint(1, customers), self._random.randint(1, products)
        (order,) = self._returned(
            connection.execute(
                sql.SQL(
                    "insert into orders (customer_id, total, {}) "
                    "select %s, price, %s from products where id = %s returning id"
                ).format(self._note_column),
                [customer, token, product],
            )
        )
        connection.execute(
            "insert into order_items (order_id, line, product_id, quantity, price) "
            "select %s, 1, id, 1, price from products where id = %s",
            [order, product],
        )
        return int(order)

    def _pay(self, connection: psycopg.Connection, token: str) -> int | None:
        if not self._unpaid:
            return None
        order = self._unpaid[0]
        (payment,) = self._returned(
            connection.execute(
                "insert into payments (order_id, amount, method, reference) "
                "select id, total, 'card', %s from orders where id = %s returning id",
                [token, order],
            )
        )
        connection.execute("update orders set status = 'paid' where id = %s", [order])
        return int(payment)

    def _edit(self, connection: psycopg.Connection, token: str) -> int | None:
        orders = self._existing[2]
        if len(self._edited) == orders:
            return None
        order = self._random.randint(1, orders)
        while order in self._edited:
            order = self._random.randint(1, orders)
        update = sql.SQL("update orders set {} = %s where id = %s").format(self._note_column)
        connection.execute(update, [token, order])
        return order

    @property
    def _note_column(self) -> sql.Identifier:
        return sql.Identifier(NOTE_COLUMNS[self._note])

    def _acknowledged(self, kind: str, key: int, token: str, seconds: float) -> None:
        match kind:
            case "place":
                self._unpaid.append(key)
            case "pay":
                self._unpaid.popleft()
            case _:
                self._edited.add(key)
        line = {"kind": kind, "id": key, "token": token, "time": time.time(), "ms": round(seconds * 1000, 3)}
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()

    def _failed(self, error: psycopg.Error) -> None:
        self.errors[type(error).__name__] += 1

    @staticmethod
    def _returned(cursor: psycopg.Cursor[Any]) -> tuple[Any, ...]:
        [row] = cursor.fetchall()
        return tuple(row)


def main() -> None:
    """Runs until standard input ends, then prints what went wrong as one JSON line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too, and it ends with its standard input
    dsn, path = sys.argv[1:3]
    with Path(path).open("w") as log:
        application = Application(dsn, log)
        threading.Thread(target=_stop_at_end, args=[application], daemon=True).start()
        application.run()
    sys.stdout.write(json.dumps({"errors": application.errors, "unknown": application.unknown}) + "\n")


def _stop_at_end(application: Application) -> None:
    sys.stdin.read()
    application.stop.set()


if __name__ == "__main__":
    main()
