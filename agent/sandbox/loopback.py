"""A loopback network that outlives each command of a run, so that a server of one is reached by the next."""

from __future__ import annotations

import errno
import os
import select
import subprocess
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from .programs import find_program

_START_S = 10.0
_ENV = {"PATH": os.defpath}
# Root of its user namespace, because bubblewrap refuses to run for a user who has capabilities but is not root.
_HOLDER = (
    "--unshare-user", "--uid", "0", "--gid", "0", "--unshare-net", "--die-with-parent", "--ro-bind", "/", "/", "--",
    "sh", "-c", "echo $$; read _",
)  # fmt: skip


class Loopback:
    """A network namespace with nothing but a loopback interface, and the user namespace that owns it.

    Open files hold both; no process does.
    """

    def __init__(self, *, untrusted: Iterable[Path] = ()) -> None:
        """Create the namespaces.

        Args:
            untrusted: absolute folders whose programs must not be started outside the sandbox.

        Raises:
            OSError: they could not be created.
        """
        self._opened: list[int] = []
        self._nsenter = _program("nsenter", untrusted)
        with subprocess.Popen(
            [_program("bwrap", untrusted), *_HOLDER], env=_ENV, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as holder:  # fmt: skip
            try:
                inside = _printed_id(holder)
                for kind in ("user", "net"):
                    self._opened.append(os.open(f"/proc/{inside}/ns/{kind}", os.O_RDONLY))
            except OSError:
                self.close()
                raise
            finally:
                holder.kill()

    def entering(self) -> Sequence[str]:
        """Return the words before bubblewrap that make it start inside; it drops the capabilities that it has there."""
        user, net = (f"/proc/{os.getpid()}/fd/{number}" for number in self._opened)
        return (self._nsenter, "--preserve-credentials", f"--user={user}", f"--net={net}", "--")

    def close(self) -> None:
        """Remove the network once the last command in it has ended."""
        while self._opened:
            os.close(self._opened.pop())


def _program(name: str, untrusted: Iterable[Path]) -> str:
    found = find_program(name, untrusted=untrusted)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, f"{name} is not installed in a folder that commands cannot change")
    return found


def _printed_id(holder: subprocess.Popen[bytes]) -> int:
    """Wait until the holder has printed its ID: then it runs in its namespaces, and the interface is up."""
    assert holder.stdout is not None, "it is a pipe"
    ready = select.poll()  # select() knows no file descriptor over 1,023
    ready.register(holder.stdout, select.POLLIN)
    if ready.poll(_START_S * 1_000) and (line := holder.stdout.readline()):
        return int(line)
    msg = "bubblewrap made no network"
    raise OSError(msg)


@lru_cache(maxsize=1)
def can_share() -> bool:
    """Return whether commands under bubblewrap can enter a shared network on this machine."""
    try:
        made = Loopback()
        program = _program("bwrap", ())
    except OSError:
        return False
    inside = [program, "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "true"]
    try:
        tried = subprocess.run(
            [*made.entering(), *inside], env=_ENV, timeout=_START_S, stdin=subprocess.DEVNULL, capture_output=True,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    finally:
        made.close()
    return tried.returncode == 0
