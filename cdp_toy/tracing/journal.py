"""Journals: every answer of a tracing run on disk before anybody hears of it, so that a killed run resumes.

A journal is an SQLite database with the settings of the run and its answers. Resuming is replaying: the search is
deterministic in the answers, so the same questions come up again, and those that were answered before are answered from
the journal. Wall times and facts of the machine are kept here and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sqlite3
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from cdp_toy.errors import InputError
from cdp_toy.tracing.oracles import Ask, Question, TracedOracle
from cdp_toy.tracing.records import Answer, Row, packed, unpacked

__all__ = ["Journal", "opened"]

#: In the header of the file, where SQLite keeps the number of the application that a database belongs to: "CDPj".
APPLICATION, APPLICATION_AT = int.from_bytes(b"CDPj", "big"), 68
SQLITE_MAGIC = b"SQLite format 3\x00"
#: Number of the layout below.
LAYOUT = 1
TABLES = (
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE answers (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, distortion TEXT NOT NULL, "
    "perception TEXT NOT NULL, answer BLOB NOT NULL, digest TEXT NOT NULL, "
    "written TEXT NOT NULL, seconds REAL NOT NULL, host TEXT NOT NULL)",  # when, how long it was waited for, and where
)
#: Name of the row of settings that holds the digest of the others.
DIGEST = "sha256"
#: Values in messages are cut to this length.
SHOWN = 80

#: Journals that are open in this process. POSIX drops all locks that a process has on a file when it closes any handle
#: of it: a second look at the file of an open journal, if only to see what it is, would give it free for others.
_open_here: set[str] = set()

#: Names and values that JSON can hold, tuples as lists.
Values = Mapping[str, Any]


@contextmanager
def opened(path: str | os.PathLike[str] | None) -> Iterator[Journal | None]:
    """The journal at a path, this process's alone until the end of the `with`; None without a path."""
    if path is None:
        yield None
        return
    journal = Journal(path)
    try:
        yield journal
    finally:
        journal.close()


class Journal:
    """The answers of a run in an SQLite file.

    Parameters
    ----------
    path : path
        A journal, or no file, or an empty one.

    Attributes
    ----------
    settings : mapping
        What the run was asked for; empty for a new journal.

    Raises
    ------
    InputError
        When the file is no journal (it is left alone), is damaged, or is in use by another process.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.settings: Values = {}
        self._recorded: defaultdict[tuple[str, str, str], deque[int]] = defaultdict(deque)
        self._host = json.dumps(_host())
        self._place = os.path.realpath(self.path)
        if self._place in _open_here:
            raise self._in_use()
        self._check_header()
        with self._refusing():
            self._database = sqlite3.connect(self.path, timeout=0.0, isolation_level=None)
        _open_here.add(self._place)
        try:
            with self._refusing():
                self._open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the file free."""
        self._database.close()
        _open_here.discard(self._place)

    def agree(self, settings: Values) -> None:
        """Write down the settings of a new run, or compare them with those of the run to be resumed.

        Raises
        ------
        InputError
            When they differ; the message names what the journal has and what was asked.
        """
        asked = json.loads(json.dumps(settings, default=lambda number: number.item()))  # NumPy's numbers too
        if not self.settings:
            with self._refusing():
                self._begin(asked)
            self.settings = asked
            return
        names = [*asked, *(name for name in self.settings if name not in asked)]
        differing = [name for name in names if asked.get(name) != self.settings.get(name)]
        if differing:
            listed = "; ".join(
                f"{name}: the journal has {_shown(self.settings.get(name))}, asked was {_shown(asked.get(name))}"
                for name in differing
            )
            raise InputError(
                f"journal {str(self.path)!r} belongs to another run. {listed}. Ask for what the journal has, or give "
                "another file"
            )

    def replayed(self, oracle: TracedOracle, ask: Ask) -> Ask:
        """Answer from the journal what was answered before, else ask and write the answer down before it is told."""

        def answers(questions: Sequence[Question]) -> Iterator[Answer]:
            numbers = [self._next(question) for question in questions]
            fresh = ask([question for question, k in zip(questions, numbers, strict=True) if k is None])
            for question, k in zip(questions, numbers, strict=True):
                if k is not None:
                    yield oracle.restored(self._read(k))
                    continue
                began = time.perf_counter()
                answer = next(fresh)
                self._write(question, oracle.row(answer), time.perf_counter() - began)
                yield answer

        return answers

    # the file

    def _check_header(self) -> None:
        """Refuse what is no journal before SQLite touches it."""
        try:
            with open(self.path, "rb") as file:
                header = file.read(APPLICATION_AT + 4)
        except FileNotFoundError:
            if self.path.parent.is_dir():
                return
            raise InputError(f"journal {str(self.path)!r}: there is no directory {str(self.path.parent)!r}") from None
        except OSError as error:
            raise InputError(f"journal {str(self.path)!r} cannot be read: {error.strerror}") from None
        ours = header.startswith(SQLITE_MAGIC) and int.from_bytes(header[APPLICATION_AT:], "big") == APPLICATION
        if header and not ours:
            raise InputError(
                f"{str(self.path)!r} is no journal of cdp_toy (or its beginning is damaged); it is left as it is: give "
                "the name of a new file"
            )

    def _open(self) -> None:
        execute = self._database.execute
        execute("PRAGMA locking_mode = EXCLUSIVE")  # before the first access: the lock then stays until the end
        execute("PRAGMA synchronous = FULL")
        execute("BEGIN EXCLUSIVE")
        execute("COMMIT")
        (tables,) = execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:  # new, or killed before its first transaction was complete
            return
        (layout,) = execute("PRAGMA user_version").fetchone()
        if layout != LAYOUT:
            raise InputError(
                f"journal {str(self.path)!r} has layout {layout}, this version of cdp_toy reads layout {LAYOUT}; "
                "finish it with the version that began it"
            )
        (verdict,) = execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        rows = dict(execute("SELECT name, value FROM settings ORDER BY name").fetchall())
        if rows.pop(DIGEST, None) != _digest([], json.dumps(rows).encode()):
            raise sqlite3.DatabaseError("its settings are not what was written")
        self.settings = {name: json.loads(value) for name, value in rows.items()}
        for number, *key in execute("SELECT number, kind, distortion, perception FROM answers ORDER BY number"):
            self._recorded[tuple(key)].append(number)
        execute("PRAGMA journal_mode = WAL")

    def _begin(self, settings: Values) -> None:
        """One transaction makes a journal of the file, so that it is one in whole or not at all."""
        execute = self._database.execute
        execute("BEGIN EXCLUSIVE")
        execute(f"PRAGMA application_id = {APPLICATION}")
        execute(f"PRAGMA user_version = {LAYOUT}")
        for table in TABLES:
            execute(table)
        rows = {name: json.dumps(settings[name]) for name in sorted(settings)}
        rows[DIGEST] = _digest([], json.dumps(rows).encode())
        self._database.executemany("INSERT INTO settings VALUES (?, ?)", rows.items())
        execute("COMMIT")
        execute("PRAGMA journal_mode = WAL")

    def _next(self, question: Question) -> int | None:
        """Number of the next recorded answer to exactly this question."""
        numbers = self._recorded.get(_key(question))
        return numbers.popleft() if numbers else None

    def _read(self, number: int) -> Mapping[str, Any]:
        with self._refusing():
            *key, data, digest = self._database.execute(
                "SELECT kind, distortion, perception, answer, digest FROM answers WHERE number = ?", (number,)
            ).fetchone()
            if digest != _digest(key, data):
                raise sqlite3.DatabaseError(f"answer {number} is not what was written")
            return unpacked(data)

    def _write(self, question: Question, row: Row, seconds: float) -> None:
        key, data = _key(question), packed(row)
        written = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._refusing():  # outside of a transaction: committed, and on the disk, when it returns
            self._database.execute(
                "INSERT INTO answers (kind, distortion, perception, answer, digest, written, seconds, host) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*key, data, _digest(key, data), written, seconds, self._host),
            )

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Tell what SQLite complains of in words of ours."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise self._in_use() from None
            if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
                raise InputError(
                    f"journal {str(self.path)!r} cannot be written: {error}; what it has is safe, trace again with it "
                    "when there is room and permission"
                ) from None
            raise self._damaged(str(error)) from None
        except (ValueError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise self._damaged(str(error)) from None

    def _in_use(self) -> InputError:
        return InputError(
            f"journal {str(self.path)!r} is in use by another run; wait for its end, or give another file"
        )

    def _damaged(self, what: str) -> InputError:
        return InputError(
            f"journal {str(self.path)!r} is damaged: {what}; it is left as it is: restore a copy of it, or give the "
            "name of a new file"
        )


def _key(question: Question) -> tuple[str, str, str]:
    return question.kind, float(question.distortion).hex(), float(question.perception).hex()


def _digest(key: Sequence[str], data: bytes) -> str:
    return hashlib.sha256("\n".join(key).encode() + b"\n" + data).hexdigest()


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def _host() -> dict[str, str | int | None]:
    """What wall times depend on."""
    return {
        "name": platform.node(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
