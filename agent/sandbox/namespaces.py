"""Get namespaces from one helper: networks that outlive a command, and mounts that no other command can redirect."""

from __future__ import annotations

import atexit
import errno
import json
import os
import socket
import subprocess
import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from .programs import installed_program, interpreter
from .protected import Protected

_HELPER = Path(__file__).with_name("namespaces_helper.py")
_ANSWER_S = 10.0
_MAX_ANSWER_BYTES = 4096
_ENV = {"PATH": os.defpath}
# Root of its user namespace, because bubblewrap refuses to run for a user who has capabilities but is not root. With a
# network that belongs to it: it could not return to that of the machine.
_AS_ROOT = (
    "--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "ALL", "--unshare-net", "--dev-bind", "/", "/", "--",
)  # fmt: skip


class Network:
    """A network namespace with nothing but a loopback interface; an open file holds it, no process does."""

    def __init__(self, *, untrusted: Iterable[Path] = ()) -> None:
        """Create it.

        Args:
            untrusted: absolute folders whose programs must not be started outside the sandbox.

        Raises:
            OSError: it could not be created.
        """
        self._helper, self.opened = _ask({}, untrusted)

    @property
    def can_be_entered(self) -> bool:
        """Whether it belongs to the helper that runs now, and not to one that was killed."""
        return self._helper is _running and self._helper.is_running

    def close(self) -> None:
        """Remove it once the last command in it has ended."""
        os.close(self.opened)


@contextmanager
def mounted(protected: Protected, untrusted: Iterable[Path] = ()) -> Generator[int | None]:
    """Open a namespace with the mounts of this process, and those that protect paths.

    Whatever commands do meanwhile to names on the way, nothing else is mounted, and nothing is made elsewhere. A path
    that does not exist, or that a symlink leads to, is left out. None is yielded if there is nothing to protect, or
    this machine allows no such namespace.

    Args:
        protected: the paths.
        untrusted: absolute folders whose programs must not be started outside the sandbox.

    Raises:
        OSError: it could not be made.
    """
    request = protected.request()
    opened = _ask(request, untrusted)[1] if request["mounts"] and can_enter() else None
    try:
        yield opened
    finally:
        if opened is not None:
            os.close(opened)


def entering(*, network: Network | None, mounts: int | None, untrusted: Iterable[Path] = ()) -> Sequence[str]:
    """Return the words before bubblewrap that make it start in namespaces; it drops what it may do there.

    Args:
        network: None means that of this process.
        mounts: open; the process that is started inherits it. None means those of this process.
        untrusted: absolute folders whose programs must not be started outside the sandbox.

    Raises:
        OSError: the program that enters them is not installed where commands cannot change it.
    """
    if network is None and mounts is None:
        return ()
    own = f"/proc/{os.getpid()}/fd"
    words = [installed_program("nsenter", untrusted=untrusted), "--preserve-credentials"]
    if _running is not None:
        words.append(f"--user={own}/{_running.user}")
    if network is not None:
        words.append(f"--net={own}/{network.opened}")
    if mounts is not None:
        words.append(f"--mount=/proc/self/fd/{mounts}")
    return (*words, "--")


@lru_cache(maxsize=1)
def can_enter() -> bool:
    """Return whether commands under bubblewrap can start in namespaces of the helper on this machine."""
    try:
        network = Network()
    except OSError:
        return False
    mounts = None
    try:
        _, mounts = _ask({"roots": [], "mounts": []}, ())
        line = [*entering(network=network, mounts=mounts), installed_program("bwrap"), "--sync-fd", str(mounts)]
        tried = subprocess.run(
            [*line, "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "true"], env=_ENV, timeout=_ANSWER_S,
            stdin=subprocess.DEVNULL, capture_output=True, pass_fds=(mounts,), check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    finally:
        network.close()
        if mounts is not None:
            os.close(mounts)
    return tried.returncode == 0


class _Ended(OSError):
    """Raised when the helper has ended."""

    def __init__(self) -> None:
        super().__init__(errno.EPERM, "the process that makes the namespaces of commands ended")


class _Helper:
    """A process that makes namespaces; it ends when this object is closed, or this process ends."""

    def __init__(self, untrusted: Iterable[Path]) -> None:
        python = interpreter(untrusted=untrusted)
        line = [
            installed_program("bwrap", untrusted=untrusted),
            *_AS_ROOT,
            python,
            "-I",
            "-S",
            str(_HELPER),
        ]
        self._owner = os.getpid()
        self._channel, other = socket.socketpair()
        self._channel.settimeout(_ANSWER_S)
        with other:
            self._process = subprocess.Popen(
                line, env=_ENV, stdin=other.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        self.user = -1
        """Its open user namespace."""
        try:
            self.user = self._answer()
        except OSError:
            self.close()
            raise

    @property
    def is_running(self) -> bool:
        # A fork of this process must not use the same channel.
        return self._owner == os.getpid() and self._channel.fileno() >= 0 and self._process.poll() is None

    def ask(self, request: Mapping[str, object]) -> int:
        try:
            self._channel.sendall(json.dumps(request).encode() + b"\n")
            return self._answer()
        except ConnectionError as error:
            raise _Ended from error
        except TimeoutError:
            self._channel.close()  # its answer would be taken for that to the next request
            raise

    def _answer(self) -> int:
        answer, opened, _, _ = socket.recv_fds(self._channel, _MAX_ANSWER_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
        if opened:
            return opened[0]
        if not answer:
            raise _Ended
        msg = f"the namespaces of the command could not be made: {answer.decode().strip()}"
        raise OSError(errno.EPERM, msg)

    def close(self) -> None:
        is_own = self._owner == os.getpid()
        with suppress(OSError):  # it has ended
            if is_own:
                self._channel.shutdown(socket.SHUT_RDWR)  # a fork of this process may still have the channel open
        self._channel.close()
        if self.user >= 0:
            os.close(self.user)
        if is_own:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_ANSWER_S)


_lock = threading.Lock()
_running: _Helper | None = None


def _ask(request: Mapping[str, object], untrusted: Iterable[Path]) -> tuple[_Helper, int]:
    """Return the helper, started if there is none, and what it made."""
    global _running
    with _lock:
        if _running is not None and _running.is_running:
            # It may have been killed, or have ended because something was mounted since it started.
            with suppress(_Ended):
                return _running, _running.ask(request)
        _close()
        _running = _Helper(untrusted)
        return _running, _running.ask(request)


@atexit.register
def _close() -> None:
    global _running
    if _running is not None:
        _running.close()
        _running = None
