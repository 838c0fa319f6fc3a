"""Sandbox commands: choose what isolates them, and prepare their command lines; starts none of them.

The rule of this room: nothing that a model can write is run, imported, followed, parsed without bounds, or trusted by
its name outside the sandbox. The places that the rule touches, and the modules that keep it there:

- Programs started outside, such as bwrap, nsenter, prlimit, docker, git, rg and our own Python: `programs` finds them
  where commands cannot write, and refuses one that was replaced.
- Folders made readable because of a PATH, a symlink or a .pth file: `bubblewrap.program_folders`.
- Folders mounted in the workspace: `namespaces_helper`, by descriptors. In a container by names, but only while no
  other command runs there: `container.held_input`.
- Files read or written in the workspace: `beneath` and `inside`, for the tools too. Kept outputs:
  `tooling.own_files`. Test reports: `tools/_report_file.py`, by descriptors and with bounds.
- Snapshots, diffs, restores: `workspace.tree` and `workspace.placing`, by descriptors, after the commands that the run
  has in the background were stopped. Folders of commands are removed by `removal`.
- What this process imports: `own_code` is read-only for commands and tools, `imports` refuses the rest: in
  `agent run` all, in a library what was changed since the run started.
- Secret files: `workspace.withheld` keeps them out of snapshots.
- Set-user-ID files: `seccomp` refuses them; `workspace.set_ids` takes that from those made in a container.
- Git: `repositories` finds what commands must not change, `workspace.git_command` starts git without the settings,
  hooks and attributes of a repository, `workspace.git_settings` takes away what a run left there, and
  `workspace.named_by_git` names what it changed of the hooks and settings of the user that lie in the project.
- The run's own task, tools and MCP servers: a server runs in the sandbox if `reach` finds that the run can change what
  it runs. Of others, `sources` finds what they load; they start before the first command, and end when `pinned` notices
  a change. `task.own_files` refuses what an earlier run changed, by the memory of `workspace.changed_files`.
  `workspace.verify_inputs` notices what a verification loads: it runs in the sandbox.
- The records of runs, and the user's home: `workspace.kept_apart` refuses a run that could change them.
- Patterns: `workspace.ignore_rules` and `schema.patterns` match in linear time, `search` in a process with a deadline.
- Permissions: `policy.targets` decides on where a path ends; `Rules.hidden` holds it for commands, `opened` for what
  tools open afterwards.
- What is printed, sent and kept: `view.text`, `model.control_tokens` and `tooling.redaction`. The last is a courtesy: a
  program can write a secret in a form that nobody foresees.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from ..errors import ConfigError
from . import bubblewrap, container, landlock, namespaces, seccomp
from .own_code import check_not_own_code, own_code_in
from .programs import find_program, installed_program, loader_variables
from .protected import protected_paths
from .repositories import git_paths
from .rules import TMP, CommandLimits, Rules, without_replaceable
from .shared import Shared, private_folder

__all__ = [
    "CommandLimits", "Isolation", "IsolationChoice", "Launch", "Rules", "Sandbox", "Shared", "find_sandbox",
    "private_folder",
]  # fmt: skip

Isolation = Literal["bubblewrap", "landlock", "container", "none"]
IsolationChoice = Literal["auto", "bubblewrap", "landlock", "container", "none"]

_INSTALL = (
    "Install bubblewrap: `sudo apt-get install bubblewrap` (Debian, Ubuntu), `sudo dnf install bubblewrap` (Fedora), "
    "`sudo pacman -S bubblewrap` (Arch). To run commands with all of your own permissions, set `sandbox: none`, or "
    "sandbox='none' of an Agent."
)


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How to start a command.

    Attributes:
        argv: The program and its arguments.
        env: The whole environment of the process to start.
        pass_fds: File descriptors that it inherits.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    pass_fds: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """What isolates commands from the machine.

    Attributes:
        isolation: What encloses the commands.
        rules: What they may reach besides the workspace.
        image: Image of the container.
        note: Why it is not the best isolation.
        namespaces: Whether a command under Landlock has its own processes, shared memory and network. In bubblewrap and
            containers it always has.
    """

    isolation: Isolation = "none"
    rules: Rules = field(default_factory=Rules)
    image: str = ""
    note: str = ""
    namespaces: bool = False

    def __str__(self) -> str:
        """Describe the sandbox in one line."""
        if self.isolation == "none":
            return "none: commands can do everything that you can"
        names = {"bubblewrap": "bubblewrap", "landlock": "Landlock", "container": f"a container of {self.image}"}
        inside = names[self.isolation]
        if self.isolation != "container" and platform.machine() in seccomp.MACHINES:
            inside += " and a system call filter"
        parts = [f"{inside}: commands can change only the workspace", "homes are hidden", *self.rules.words()]
        if self.isolation == "bubblewrap" and not namespaces.can_enter():
            parts[-1] += "; but one that runs while another starts can lift what is protected inside the workspace"
        if self.isolation == "landlock":
            parts[-1] += f"; but {', '.join(landlock.gaps(self.rules, namespaces=self.namespaces))}"
        return ", ".join(parts) + (f" ({self.note})" if self.note else "")

    @property
    def can_hide(self) -> bool:
        """Whether `Rules.hidden` has an effect: Landlock cannot close a path inside a folder that it opens."""
        return self.isolation in {"bubblewrap", "container"}

    def connects_commands(self, shared: Shared | None) -> bool:
        """Return whether a command reaches the ports of another one on localhost, if both share this."""
        if self.isolation == "bubblewrap":
            return self.rules.network or (shared is not None and namespaces.can_enter())
        return self.isolation == "none" or (self.isolation == "landlock" and self.rules.network)

    def untrusted(self, workspace: Path) -> tuple[Path, ...]:
        """Return the folders that commands can change, or could earlier; no program there runs outside the sandbox."""
        return (workspace, *self.rules.write, *self.rules.untrusted)

    def check_own_code(self, workspace: Path) -> None:
        """Check that commands cannot change what agent itself runs from.

        Args:
            workspace: the folder that they may change.

        Raises:
            ConfigError: they can, with this isolation.
        """
        roots = (workspace, *self.rules.write)
        for root in roots:
            check_not_own_code(root)
        if self.isolation == "landlock" and (own := own_code_in(roots)):
            msg = (
                f"agent itself runs from {str(own[0])!r}, which commands may change, and Landlock cannot make it "
                "read-only. Install bubblewrap, install tramontane outside of the workspace (`pipx install "
                "tramontane`), or let the run work in a copy, with workspace: {path: ..., copy: true}, "
                "or workspace_mode='copy' of an Agent."
            )
            raise ConfigError(msg, key="sandbox")

    @contextlib.contextmanager
    def launch(
        self, argv: Sequence[str], *, workspace: Path, env: Mapping[str, str], read: Sequence[Path] = (),
        write: Sequence[Path] = (), shared: Shared | None = None, folder: Path | None = None,
    ) -> Generator[Launch]:  # fmt: skip
        """Prepare a command; start it inside the context, which it may outlive.

        Args:
            argv: the command and its arguments.
            workspace: absolute path of the folder that it runs in and may change.
            env: its whole environment.
            read: absolute paths that it may read in addition to those in the rules.
            write: absolute paths that it may change in addition to those in the rules.
            shared: the /tmp and network of the run's commands. None means its own, which go with it; under Landlock,
                its /tmp goes when this process ends.
            folder: absolute; where it runs instead, in bubblewrap. Elsewhere, start it there.

        Raises:
            OSError: a program that starts it is missing, was replaced, or lies where commands may change it.
        """
        if self.isolation == "none":
            yield Launch(argv=argv, env=env)
            return
        rules = replace(self.rules, read=(*self.rules.read, *read), write=(*self.rules.write, *write))
        rules = without_replaceable(rules, workspace)
        if self.isolation == "landlock":
            own = landlock.temporary_folder() if shared is None else shared.folder()
            line = landlock.command_line(
                argv, workspace=workspace, env=env, rules=rules, temporary=own, namespaces=self.namespaces
            )
            inside = {**env, "HOME": str(own), "TMPDIR": str(own)}
            yield Launch(argv=line, env=_without_loader(inside))
            return
        temporary = None
        if shared is not None:
            programs = bubblewrap.program_folders(
                env, writable=(workspace, *rules.write), untrusted=self.rules.untrusted
            )
            fixed = (workspace, *self.rules.read, *self.rules.write, *programs)
            needed = (*fixed, *read, *write, *(() if folder is None else (folder,)))
            temporary = shared.temporary(fixed=fixed, needed=needed)
        untrusted = (*self.untrusted(workspace), *write)
        roots = (workspace, *rules.write)
        git = git_paths(roots) if shared is None else shared.git_paths(roots)
        protected = protected_paths(workspace, rules, git)
        if self.isolation == "bubblewrap":
            inside = {**env, "HOME": str(TMP), "TMPDIR": str(TMP)}
            network = None if shared is None or rules.network else shared.network(untrusted)
            with seccomp.filter_file() as filter_fd, namespaces.mounted(protected, untrusted) as mounts:
                line = bubblewrap.command_line(
                    argv, program=installed_program("bwrap", untrusted=untrusted), workspace=workspace, env=inside,
                    rules=rules, filter_fd=filter_fd, temporary=temporary,
                    entering=namespaces.entering(network=network, mounts=mounts, untrusted=untrusted),
                    has_network=network is not None, mounts=mounts, protected=protected, folder=folder,
                )  # fmt: skip
                inherited = tuple(number for number in (filter_fd, mounts) if number is not None)
                yield Launch(argv=line, env=_without_loader(inside), pass_fds=inherited)
            return
        with container.held_input(protected) as ends:
            line = container.command_line(
                argv, image=self.image, workspace=workspace, env=env, rules=rules, stdin_fd=ends[0],
                temporary=temporary, program=installed_program("docker", untrusted=untrusted), protected=protected,
            )  # fmt: skip
            outside = container.client_env(env, untrusted=untrusted)
            yield Launch(argv=line, env=outside, pass_fds=ends)


def find_sandbox(wanted: IsolationChoice, rules: Rules, *, image: str = "") -> Sandbox:
    """Return the requested sandbox; `auto` means bubblewrap if it works, else Landlock.

    Args:
        wanted: the isolation to use.
        rules: what commands may reach.
        image: for `container`, a Docker image with a shell and everything that the commands need.

    Raises:
        ConfigError: it is not available on this machine.
    """
    if wanted == "none":
        return Sandbox(isolation="none", rules=rules)
    if wanted == "container":
        if problem := container.problem(image, untrusted=(*rules.write, *rules.untrusted)):
            raise ConfigError(f"Commands cannot run in a container: {problem}.", key="sandbox")
        return Sandbox(isolation="container", rules=rules, image=image)
    problem = "" if wanted == "landlock" else _untrusted_bubblewrap(rules) or _bubblewrap_problem()
    if wanted != "landlock" and not problem:
        return Sandbox(isolation="bubblewrap", rules=rules)
    if wanted != "bubblewrap" and sys.platform == "linux" and landlock.abi() >= landlock.MIN_ABI:
        return Sandbox(isolation="landlock", rules=rules, note=problem, namespaces=landlock.can_make_namespaces())
    if wanted == "landlock":
        msg = (
            f"The sandbox `landlock` needs Linux 6.7 or later with Landlock enabled, which is missing here. {_INSTALL}"
        )
        raise ConfigError(msg, key="sandbox")
    msg = f"Commands cannot be sandboxed on this machine: {problem}. {_INSTALL}"
    raise ConfigError(msg, key="sandbox")


def _untrusted_bubblewrap(rules: Rules) -> str:
    """Return why the bubblewrap that is found must not be started. Empty if it may be, or there is none."""
    try:
        if bubblewrap.executable() == bubblewrap.executable(untrusted=(*rules.write, *rules.untrusted)):
            return ""
    except OSError as error:
        return f"bubblewrap cannot be used: {error.strerror}"
    return "bubblewrap is installed only in a folder that commands may change"


def _bubblewrap_problem() -> str:
    """Return why bubblewrap does not work here. Empty if it works."""
    program = bubblewrap.executable()
    if program is None:
        return "bubblewrap is not installed"
    return "prlimit (util-linux) is not installed" if find_program("prlimit") is None else _try_bubblewrap(program)


@lru_cache(maxsize=4)
def _try_bubblewrap(program: str) -> str:
    """Return why bubblewrap does not work here. Empty if it works."""
    with tempfile.TemporaryDirectory() as folder, seccomp.filter_file() as filter_fd:
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
    errors = tried.stderr.decode(errors="replace").strip().splitlines()
    return f"bubblewrap fails: {errors[-1] if errors else f'exit code {tried.returncode}'}"


def _without_loader(env: Mapping[str, str]) -> Mapping[str, str]:
    loaded = loader_variables(env)
    return {name: value for name, value in env.items() if name not in loaded}
