"""Programs that run in a terminal of their own."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

_PATIENCE = 300.0
"""Seconds after which a program is taken to hang."""


class Terminal:
    """A program in a terminal: what is typed, and what it shows."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str]) -> None:
        # The other end stays open here, too: reading never fails, and the terminal is there when the program opens it.
        self._own, other = pty.openpty()
        # The first terminal that a session opens is the one whose Ctrl-C it gets.
        in_terminal = ["/bin/sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(other)]
        self.process = subprocess.Popen(
            [*in_terminal, sys.executable, "-m", "splade_anserini", *arguments],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "TERM": "xterm", "INPUTRC": os.devnull, **environment},
            start_new_session=True,
            # Ctrl-C works also where the tests themselves run in the background, where it is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no threads here
        )
        self._other = other
        self._unread = ""

    def type(self, text: str) -> None:
        """Type keys; "\\x04" is Ctrl-D, "\\x1b[A" the arrow that points up."""
        os.write(self._own, text.encode())

    def until(self, expected: str) -> str:
        """Return what is shown up to `expected`, as lines that end with a line feed."""
        deadline = time.monotonic() + _PATIENCE
        while expected not in self._unread:
            assert time.monotonic() < deadline, f"no {expected!r} in {self._unread!r}"
            if select.select([self._own], [], [], 1.0)[0]:
                self._read()
            elif self.process.poll() is not None:
                break
        assert expected in self._unread, self._unread
        shown, _, self._unread = self._unread.partition(expected)
        return shown + expected

    def interrupt(self, expected: str) -> None:
        """Type Ctrl-C until `expected` is shown: between its prompt and its waiting, readline does not notice it."""
        deadline = time.monotonic() + _PATIENCE
        while expected not in self._unread:
            assert time.monotonic() < deadline, f"no {expected!r} in {self._unread!r}"
            self.type("\x03")
            while expected not in self._unread and select.select([self._own], [], [], 5.0)[0]:
                self._read()
            assert self.process.poll() is None, self._unread
        self.until(expected)

    def end(self) -> tuple[int, str]:
        """Return the exit code when the program ends by itself, and the rest of what it showed."""
        code = self.process.wait(_PATIENCE)
        while select.select([self._own], [], [], 0.0)[0]:
            self._read()
        return code, self._unread

    def close(self) -> None:
        """End the program if it runs."""
        self.process.kill()
        self.process.wait()
        os.close(self._own)
        os.close(self._other)

    def _read(self) -> None:
        self._unread += os.read(self._own, 65536).decode(errors="replace").replace("\r\n", "\n")


@contextlib.contextmanager
def terminal(*arguments: object, **environment: str) -> Iterator[Terminal]:
    """Run `splade-anserini ARGUMENTS…` in a terminal."""
    opened = Terminal([str(argument) for argument in arguments], environment)
    try:
        yield opened
    finally:
        opened.close()
