"""Ctrl-C in a loop whose steps have to be whole."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class BetweenSteps(KeyboardInterrupt):
    """An interrupt that was waited with until a step was whole."""


class Interrupts:
    """For the length of a block Ctrl-C is only noted, in `asked`, so that no step ends half way; the second one interrupts at once.

    >>> with Interrupts() as interrupts:
    ...     signal.raise_signal(signal.SIGINT)
    ...     interrupts.asked
    True

    In other threads than the main one, and where somebody else handles the signal, nothing is changed.
    """

    asked = False

    def __enter__(self) -> Interrupts:
        self.before: Any = None
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self.before = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *_: object) -> None:
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)
