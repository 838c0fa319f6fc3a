"""Build the command line that runs a command under Landlock, and describe what Landlock cannot do here."""

from __future__ import annotations

import atexit
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from json import dumps
from pathlib import Path

from . import bubblewrap, landlock_launcher, seccomp
from .landlock_launcher import abi, scopes_signals
from .programs import interpreter, loader_variables
from .rules import Rules, resource_limits

__all__ = ["MIN_ABI", "abi", "can_make_namespaces", "command_line", "gaps", "temporary_folder"]

MIN_ABI = 4
"""The first version that can block the network (Linux 6.7)."""
# System paths that programs expect; Landlock hides the rest.
_READ = (
    *(name for name in bubblewrap.SYSTEM if name != "/etc"), "/proc", "/sys/devices/system", "/dev/random",
    "/dev/urandom",
)  # fmt: skip
_WRITE = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty")
_TRY_S = 20.0


def command_line(
    argv: Sequence[str], *, workspace: Path, env: Mapping[str, str], rules: Rules, temporary: Path, namespaces: bool
) -> list[str]:
    """Return the whole command line.

    Start it with `env` as its environment, except for `loader_variables`, and HOME and TMPDIR set to `temporary`.

    Args:
        argv: the command and its arguments.
        workspace: the folder that it runs in and may change.
        env: its whole environment; programs on its PATH can be run.
        rules: what else is allowed.
        temporary: the folder for its home and temporary files.
        namespaces: give it its own processes, shared memory and network; see `can_make_namespaces`.

    Raises:
        OSError: the Python that starts it lies where commands may change it.
    """
    writable = (workspace, *rules.write)
    limits = {f"RLIMIT_{name}": value for name, value in resource_limits(rules.limits).items()}
    if not namespaces:
        limits.pop("RLIMIT_NPROC", None)  # it would count all processes of the user, not only those of the command
    settings = {
        "read": [
            *_READ,
            *bubblewrap.etc_without_secrets(),
            *map(str, bubblewrap.program_folders(env, writable=writable, untrusted=rules.untrusted)),
            *map(str, rules.read),
        ],
        "write": [*_WRITE, str(temporary), *map(str, writable)],
        "network": rules.network,
        "limits": limits,
        "env": dict(loader_variables(env)),
        "namespaces": namespaces,
        "filter": seccomp.program(sockets=rules.network).hex() if platform.machine() in seccomp.MACHINES else "",
    }
    program = shutil.which(argv[0], path=env.get("PATH", os.defpath)) or argv[0]
    python = interpreter(untrusted=(*writable, *rules.untrusted))
    return [python, "-I", "-S", landlock_launcher.__file__, dumps(settings), program, *argv[1:]]


@lru_cache(maxsize=1)
def can_make_namespaces() -> bool:
    """Return whether a command can have namespaces here; some machines refuse them to ordinary users."""
    env = {"PATH": os.defpath}
    with tempfile.TemporaryDirectory() as folder:
        line = command_line(
            ["true"], workspace=Path(folder), env=env, rules=Rules(), temporary=Path(folder), namespaces=True
        )
        try:
            tried = subprocess.run(
                line, env=env, timeout=_TRY_S, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return tried.returncode == 0


def gaps(rules: Rules, *, namespaces: bool) -> Iterator[str]:
    """Yield what a command can do under Landlock on this machine that other sandboxes prevent."""
    is_filtered = platform.machine() in seccomp.MACHINES
    if not namespaces:
        yield "this machine's processes can be seen and its shared memory segments reached"
        if not scopes_signals():
            yield "your other processes can be signalled"
    if rules.network or not is_filtered:
        yield "sockets of services can be reached"
    if not rules.network and not is_filtered:
        yield "UDP is not blocked"
    yield ".git can be changed"


def temporary_folder() -> Path:
    """Create a folder for one command that belongs to no run; it is removed when this process ends."""
    return Path(tempfile.mkdtemp(dir=_temporary().name))


@lru_cache(maxsize=1)
def _temporary() -> tempfile.TemporaryDirectory[str]:
    made = tempfile.TemporaryDirectory(prefix="commands-", ignore_cleanup_errors=True)
    atexit.register(made.cleanup)
    return made
