"""One child process: started with its own log, never outliving us, stopped for certain."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tuneloop.errors import DeploymentError

_TAIL_BYTES = 8_192


class ChildProcess:
    """A running command whose output goes to a log file.

    Its standard input is a pipe that nobody writes to: it closes when this process dies, however it
    dies. Commands that are to die with us watch for that. (Linux's PR_SET_PDEATHSIG would not do:
    it strikes when the thread that started the child ends.)
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        inherits: Sequence[int] = (),
    ) -> None:
        """Start `command`, appending to `log`; `environment` is added to ours.

        `inherits`: open descriptors that the child gets by the same number.

        Raises:
            DeploymentError: the command cannot be started or the log cannot be written.
        """
        self.log = log
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                self._log_start = output.tell()
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(environment or {})},
                    pass_fds=inherits,
                    start_new_session=True,  # Ctrl-C in a terminal reaches us, and we stop it
                )
        except OSError as e:
            raise DeploymentError(f"Cannot start {command[0]}: {e.strerror} ({e.filename}).") from e

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that killed it."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to stop."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Make it stop."""
        if self.exit_code is None:
            self._process.kill()

    def stop(self, *, grace_seconds: float) -> None:
        """Ask, wait, then make it stop: a model server in mid-request may ignore the asking."""
        self.terminate()
        try:
            self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self.close()

    def close(self) -> None:
        """Wait for the end of a process that was told to stop, and let go of its pipe."""
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def log_tail(self, lines: int = 8) -> list[str]:
        """The last lines that this run wrote."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                start = self._log_start if self._log_start <= size else 0  # it was cut meanwhile
                file.seek(max(start, size - _TAIL_BYTES))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()][-lines:]


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listened on a moment ago."""
    with socket.create_server((host, 0)) as listener:
        return int(listener.getsockname()[1])
