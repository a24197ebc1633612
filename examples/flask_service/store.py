"""What the service remembers: chargers, charging and meter values, in one SQLite file."""

import hashlib
import sqlite3
from contextlib import closing, suppress
from typing import Any, List

from ocppj import passwords_match

SCHEMA = """
CREATE TABLE IF NOT EXISTS charger (id TEXT PRIMARY KEY, password TEXT, status TEXT);
CREATE TABLE IF NOT EXISTS charging (id INTEGER PRIMARY KEY, charger TEXT, connector INTEGER, started TEXT, tag TEXT,
    meter_start INTEGER, stopped TEXT, meter_stop INTEGER, UNIQUE (charger, connector, started));
CREATE TABLE IF NOT EXISTS meter (charger TEXT, connector INTEGER, charging INTEGER, at TEXT, measurand TEXT,
    phase TEXT, location TEXT, context TEXT, format TEXT, unit TEXT, value TEXT,
    UNIQUE (charger, connector, charging, at, measurand, phase, location, context, format, unit));
"""


class Store:
    """Any thread of any process may use it."""

    def __init__(self, path: str) -> None:
        self._path = path
        with closing(sqlite3.connect(path, timeout=10)) as database:
            with suppress(sqlite3.OperationalError):  # it holds for the file: another worker does it just now
                database.execute("PRAGMA journal_mode = WAL")
            database.executescript(SCHEMA)

    def run(self, sql: str, *values: Any) -> List[sqlite3.Row]:
        """Run one statement, and return its rows. What it changed is on disk then."""
        with closing(sqlite3.connect(self._path, timeout=10)) as database, database:
            database.row_factory = sqlite3.Row
            return database.execute(sql, values).fetchall()

    def add_charger(self, charger: str, password: str) -> None:
        digest = hashlib.sha256(password.encode()).hexdigest()  # a fast hash will do: the password is long and random
        self.run("INSERT OR REPLACE INTO charger VALUES (?, ?, 'new')", charger, digest)

    def knows(self, charger: str) -> bool:
        return bool(self.run("SELECT 1 FROM charger WHERE id = ?", charger))

    def is_password(self, charger: str, password: bytes) -> bool:
        rows = self.run("SELECT password FROM charger WHERE id = ?", charger)
        return bool(rows) and passwords_match(hashlib.sha256(password).hexdigest().encode(), rows[0]["password"])
