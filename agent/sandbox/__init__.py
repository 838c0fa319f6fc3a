"""Run commands where they can do no harm: what isolates them, what they may reach, and how to start one."""

from __future__ import annotations

import atexit
import contextlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from json import dumps
from pathlib import Path
from typing import Literal

from ..errors import ConfigError
from . import bubblewrap, container, landlock, seccomp
from .rules import CommandLimits, Rules, resource_limits

__all__ = ["CommandLimits", "Isolation", "IsolationChoice", "Launch", "Rules", "Sandbox", "find_sandbox"]

Isolation = Literal["bubblewrap", "landlock", "container", "none"]
IsolationChoice = Literal["auto", "bubblewrap", "landlock", "container", "none"]

_INSTALL = (
    "Install bubblewrap: `sudo apt-get install bubblewrap` (Debian, Ubuntu), `sudo dnf install bubblewrap` (Fedora), "
    "`sudo pacman -S bubblewrap` (Arch). To run commands with all that you may do yourself, say `sandbox: none`."
)
_PRIVATE = str(Path("/", "tmp"))
"""Where a sandboxed command has its home and its temporary files; they end with it."""
# What programs expect of a system; Landlock hides the rest.
_LANDLOCK_READ = (
    *(name for name in bubblewrap.SYSTEM if name != "/etc"), "/proc", "/sys/devices/system", "/dev/random",
    "/dev/urandom",
)  # fmt: skip
_LANDLOCK_WRITE = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How a command is started."""

    argv: Sequence[str]
    env: Mapping[str, str]
    """The whole environment of the process that is started."""
    pass_fds: Sequence[int] = ()
    """Open files that it inherits."""


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """What stands between commands and the machine."""

    isolation: Isolation = "none"
    rules: Rules = field(default_factory=Rules)
    image: str = ""
    """Of the container."""
    note: str = ""
    """Why it is not what is best."""

    def __str__(self) -> str:
        """Say what is in force, in one line."""
        if self.isolation == "none":
            return "none: commands can do all that you can"
        names = {"bubblewrap": "bubblewrap", "landlock": "Landlock", "container": f"a container of {self.image}"}
        inside = names[self.isolation]
        if self.isolation != "container" and platform.machine() in seccomp.MACHINES:
            inside += " and a system call filter"
        parts = [f"{inside}: commands change only the workspace", "homes are hidden", *self.rules.words()]
        return ", ".join(parts) + (f" ({self.note})" if self.note else "")

    @contextlib.contextmanager
    def launch(
        self, argv: Sequence[str], *, workspace: Path, env: Mapping[str, str], read: Sequence[Path] = (),
        write: Sequence[Path] = (),
    ) -> Generator[Launch]:  # fmt: skip
        """Prepare a command: start it inside this context; it may end after it.

        Args:
            argv: the command and its arguments.
            workspace: the folder that it runs in and may change; absolute.
            env: its whole environment.
            read: absolute; what it may read beside what the rules say.
            write: the same, to change.
        """
        if self.isolation == "none":
            yield Launch(argv=argv, env=env)
            return
        rules = replace(self.rules, read=(*self.rules.read, *read), write=(*self.rules.write, *write))
        inside = {**env, "HOME": _PRIVATE, "TMPDIR": _PRIVATE}
        if self.isolation == "bubblewrap":
            with _filter_file() as filter_fd:
                line = bubblewrap.command_line(
                    argv, program=bubblewrap.found() or "bwrap", workspace=workspace, env=inside, rules=rules,
                    filter_fd=filter_fd,
                )  # fmt: skip
                yield Launch(argv=line, env=inside, pass_fds=() if filter_fd is None else (filter_fd,))
            return
        if self.isolation == "container":
            with _pipe() as ends:
                line = container.command_line(
                    argv, image=self.image, workspace=workspace, env=env, rules=rules, stdin_fd=ends[0]
                )
                yield Launch(argv=line, env=container.client_env(env), pass_fds=ends)
            return
        yield _under_landlock(argv, workspace=workspace, env=env, rules=rules)


def find_sandbox(wanted: IsolationChoice, rules: Rules, *, image: str = "") -> Sandbox:
    """Return the sandbox that is asked for; `auto`: bubblewrap where it runs, else Landlock.

    Args:
        wanted: what is to isolate commands.
        rules: what is let through.
        image: for `container`: of docker, with a shell and what the commands need.

    Raises:
        ConfigError: this machine does not have it.
    """
    if wanted == "none":
        return Sandbox(isolation="none", rules=rules)
    if wanted == "container":
        if why := container.why_not(image):
            raise ConfigError(f"Commands cannot run in a container: {why}.", key="sandbox")
        return Sandbox(isolation="container", rules=rules, image=image)
    missing = "" if wanted == "landlock" else _why_no_bubblewrap()
    if wanted != "landlock" and not missing:
        return Sandbox(isolation="bubblewrap", rules=rules)
    if wanted != "bubblewrap" and sys.platform == "linux" and landlock.abi() >= _LEAST_ABI:
        return Sandbox(isolation="landlock", rules=rules, note=missing)
    if wanted == "landlock":
        msg = f"`sandbox: landlock` needs Linux 6.7 or later with Landlock switched on; this is not one. {_INSTALL}"
        raise ConfigError(msg, key="sandbox")
    msg = f"Commands cannot be isolated on this machine: {missing}. {_INSTALL}"
    raise ConfigError(msg, key="sandbox")


_LEAST_ABI = 4
"""The first that can refuse the network (Linux 6.7)."""


@lru_cache(maxsize=1)
def _why_no_bubblewrap() -> str:
    """Return what keeps bubblewrap from working here; empty: nothing."""
    program = bubblewrap.found()
    if program is None:
        return "bubblewrap is not installed"
    if shutil.which("prlimit") is None:
        return "prlimit of util-linux is not installed"
    with tempfile.TemporaryDirectory() as folder, _filter_file() as filter_fd:
        line = bubblewrap.command_line(
            ["true"], program=program, workspace=Path(folder), env={"PATH": os.defpath}, rules=Rules(),
            filter_fd=filter_fd,
        )  # fmt: skip
        try:
            tried = subprocess.run(
                line, env={"PATH": os.defpath}, pass_fds=() if filter_fd is None else (filter_fd,), timeout=20,
                stdin=subprocess.DEVNULL, capture_output=True, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"bubblewrap does not run: {error}"
    if tried.returncode == 0:
        return ""
    said = tried.stderr.decode(errors="replace").strip().splitlines()
    return f"bubblewrap is refused: {said[-1] if said else f'exit code {tried.returncode}'}"


@contextlib.contextmanager
def _filter_file() -> Generator[int | None]:
    """Open a file with the system call filter; bubblewrap reads it to its end. None: no filter for this machine."""
    if platform.machine() not in seccomp.MACHINES:
        yield None
        return
    opened = os.memfd_create("filter")
    try:
        os.write(opened, seccomp.program())
        os.lseek(opened, 0, os.SEEK_SET)
        yield opened
    finally:
        os.close(opened)


@contextlib.contextmanager
def _pipe() -> Generator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


@lru_cache(maxsize=1)
def _temporary() -> tempfile.TemporaryDirectory[str]:
    """Make the folder for temporary files of commands under Landlock, which cannot have one of their own."""
    made = tempfile.TemporaryDirectory(prefix="commands-", ignore_cleanup_errors=True)
    atexit.register(made.cleanup)
    return made


def _under_landlock(argv: Sequence[str], *, workspace: Path, env: Mapping[str, str], rules: Rules) -> Launch:
    temporary = Path(_temporary().name)
    # A limit of processes would count all that the user runs, not those of the command.
    limits = {f"RLIMIT_{name}": value for name, value in resource_limits(rules.limits).items() if name != "NPROC"}
    filtered = platform.machine() in seccomp.MACHINES
    told = {
        "read": [
            *_LANDLOCK_READ,
            *bubblewrap.open_settings(),
            *map(str, bubblewrap.programs_of(env)),
            *map(str, rules.read),
        ],
        "write": [*_LANDLOCK_WRITE, str(workspace), str(temporary), *map(str, rules.write)],
        "network": rules.network,
        "limits": limits,
        "filter": seccomp.program(internet=rules.network).hex() if filtered else "",
    }
    program = shutil.which(argv[0], path=env.get("PATH", os.defpath)) or argv[0]
    line = [sys.executable, "-I", "-S", landlock.__file__, dumps(told), program, *argv[1:]]
    return Launch(argv=line, env={**env, "HOME": str(temporary), "TMPDIR": str(temporary)})
