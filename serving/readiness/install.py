"""Install the environment that `cpu_env` plans, once, and find it again later; starts no engine."""

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import EngineError
from ..running.process_group import run_to_end
from .cpu_env import (
    APPLY_PATCHES,
    ENVIRONMENT,
    NEEDED_BYTES,
    Installer,
    InstallStep,
    apply_patches,
    engine_python,
    install_plan,
    torch_is_missing,
)

_MARK = "complete.json"
_TAIL_LINES = 15
_SHOWN_LINES = ("Collecting ", "Downloading ", "Installing ", "Successfully ", "Resolved ", "Prepared ", "Installed ")


class Runner(Protocol):
    """A function that runs one command to its end."""

    def __call__(self, command: Sequence[str], on_line: Callable[[str], None]) -> int:
        """Call `on_line` with each line of output; return the exit status."""
        ...


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What an installation can use on this machine."""

    python: Path
    """The interpreter to base the environment on."""
    uv: Path | None
    """The uv program. None if there is none on the PATH."""
    free_bytes: int
    """Free space on the disk that holds the cache."""


def this_machine(cache: Path) -> Machine:
    """Find a Python that has CPU builds of torch, uv, and the free disk space.

    Python 3.11 is preferred because it is the version that was measured; otherwise the running one is used.
    """
    uv = shutil.which("uv")
    on_disk = next(folder for folder in (cache, *cache.parents) if folder.exists())
    return Machine(
        python=_python(),
        uv=Path(uv) if uv else None,
        free_bytes=shutil.disk_usage(on_disk).free,
    )


def installed_python(cache: Path) -> Path | None:
    """Return the interpreter of the finished environment, or None if there is none."""
    environment = cache / ENVIRONMENT
    return engine_python(environment) if (environment / _MARK).exists() else None


def ensure_installed(
    cache: Path,
    *,
    on_detail: Callable[[str], None],
    machine: Callable[[Path], Machine] = this_machine,
    run: Runner = run_to_end,
) -> Path:
    """Create the environment unless it exists, and return its interpreter.

    Two processes never build at once: the second waits and uses what the first built. A build that was killed leaves no
    completion mark and is started again from scratch.

    Args:
        cache: the folder that holds the environments; created if needed.
        on_detail: called with one line for people at each step.
        machine: finds what to build with.
        run: runs the commands.

    Raises:
        EngineError: there is too little disk space, or a command failed.
    """
    found = installed_python(cache)
    if found:
        return found
    cache.mkdir(parents=True, exist_ok=True)
    with _exclusive(cache / f"{ENVIRONMENT}.lock", on_detail):
        found = installed_python(cache)
        return found or _build(cache, on_detail, machine(cache), run)


def _build(cache: Path, on_detail: Callable[[str], None], machine: Machine, run: Runner) -> Path:
    environment = cache / ENVIRONMENT
    if machine.free_bytes < NEEDED_BYTES:
        raise EngineError(
            f"Cannot install the engine: {machine.free_bytes / 1e9:.1f} GB are free on the disk of {cache}, but "
            f"{NEEDED_BYTES / 1e9:.0f} GB are needed.",
            cause="",
            do="Free some space, or set XDG_CACHE_HOME to a folder on a larger disk.",
        )
    on_detail("Installing vLLM for the CPU, once: about 130 MB plus dependencies, 3.5 GB on disk, 2 to 5 minutes")
    log = cache / f"{ENVIRONMENT}.log"
    with log.open("w", encoding="utf-8") as written:
        build = _Build(environment=environment, machine=machine, run=run, on_detail=on_detail, write=written.write)
        failed = build.attempt("pip")
        if failed and torch_is_missing(build.output):
            on_detail(f"pip found no CPU build of torch for {machine.python}; trying uv")
            failed = build.attempt("uv")
    if failed:
        raise EngineError(
            f"Cannot install the engine: the step {failed.title!r} failed with {machine.python}.",
            cause="\n".join(build.output[-_TAIL_LINES:]),
            do="Check that the package index is reachable and start again; downloads are kept. If no CPU build of "
            "torch is found, put Python 3.11 or uv on the PATH. Or set TRAMONTANE_ENGINE_PYTHON to a Python that has "
            "vLLM.",
            log=log,
        )
    mark = {"python": str(machine.python), "environment": ENVIRONMENT}
    (environment / _MARK).write_text(json.dumps(mark) + "\n", encoding="utf-8")
    return engine_python(environment)


class _Build:
    """Successive attempts to build the same environment."""

    def __init__(
        self,
        *,
        environment: Path,
        machine: Machine,
        run: Runner,
        on_detail: Callable[[str], None],
        write: Callable[[str], object],
    ) -> None:
        self._environment = environment
        self._machine = machine
        self._run = run
        self._on_detail = on_detail
        self._write = write
        self.output: list[str] = []

    def attempt(self, installer: Installer) -> InstallStep | None:
        """Run all steps; return the one that failed, or None."""
        plan = install_plan(
            python=self._machine.python, environment=self._environment, installer=installer, uv=self._machine.uv
        )
        return next((step for step in plan if not self._succeeds(step)), None)

    def _succeeds(self, step: InstallStep) -> bool:
        self._on_detail(step.title)
        self._write(f"$ {' '.join(step.command)}\n")
        self.output = []
        if step.command == (APPLY_PATCHES,):
            return self._apply_patches()
        try:
            return self._run(step.command, self._line) == 0
        except OSError as error:
            self._line(str(error))
            return False

    def _apply_patches(self) -> bool:
        try:
            apply_patches(self._environment)
        except OSError as error:
            self._line(str(error))
            return False
        return True

    def _line(self, line: str) -> None:
        self.output.append(line)
        self._write(line + "\n")
        if line.startswith(_SHOWN_LINES):
            self._on_detail(line if len(line) <= 100 else line[:99] + "…")


@contextmanager
def _exclusive(lock: Path, on_detail: Callable[[str], None]) -> Generator[None, None, None]:
    with lock.open("w", encoding="utf-8") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_detail("Waiting for another process that is installing the engine")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield  # The kernel releases the lock when the file is closed, even if this process is killed.


def _python() -> Path:
    running = Path(sys.executable)
    if sys.version_info[:2] == (3, 11):
        return running
    other = shutil.which("python3.11")
    # A version manager's shim may be on the PATH although that version is not installed.
    if other and subprocess.run([other, "-c", ""], capture_output=True, check=False).returncode == 0:
        return Path(other)
    return running
