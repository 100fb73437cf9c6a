"""Rows of many threads written in one transaction: what comes while one is at work goes together into the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

_T = TypeVar("_T")


@dataclass
class _Piece(Generic[_T]):
    rows: list[_T]
    done: bool = False
    error: BaseException | None = None


class Together(Generic[_T]):
    """Calls `write` with the rows of all threads that wait; each is told what became of the transaction with its own.

    A disk is waited for once for all of them: fifty clients are answered in the time that one takes.
    """

    def __init__(self, write: Callable[[list[_T]], None]) -> None:
        self._write = write
        self._changed = threading.Condition()
        self._waiting: list[_Piece[_T]] = []
        self._at_work = False

    def __call__(self, rows: list[_T]) -> None:
        """Write `rows`, all or none; they are written when it returns. Raises what `write` raises."""
        piece = _Piece(rows)
        with self._changed:
            self._waiting.append(piece)
            self._changed.wait_for(lambda: piece.done or not self._at_work)
            pieces: list[_Piece[_T]] = []
            if not piece.done:
                # Whoever comes when nobody writes does it for all who wait.
                pieces, self._waiting, self._at_work = self._waiting, [], True
        if pieces:
            self._lead(pieces)
        if piece.error is not None:
            raise piece.error

    def _lead(self, pieces: list[_Piece[_T]]) -> None:
        error: BaseException | None = None
        try:
            self._write([row for piece in pieces for row in piece.rows])
        except BaseException as raised:
            error = raised
        with self._changed:
            for piece in pieces:
                piece.done, piece.error = True, error
            self._at_work = False
            self._changed.notify_all()
