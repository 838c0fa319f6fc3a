"""Build the docker command line that runs a command in a container of the user's image; pulls no image."""

from __future__ import annotations

import errno
import os
import select
import subprocess
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .programs import installed_program, interpreter, loader_variables, trusted_path
from .protected import Protected, protected_paths
from .rules import MB, TMP, CommandLimits, Rules, Temporary

_INIT = """\
exec 3<&0 </dev/null
cd "$1" || exit
shift
case "$1" in
  bash) command -v bash >/dev/null || { shift; set -- sh "$@"; } ;;
  python) command -v python >/dev/null || { shift; set -- python3 "$@"; } ;;
esac
trap 'kill -TERM "$command"' TERM
"$@" 3<&- 2>&1 & command=$!
{ cat <&3 >/dev/null; kill -9 -1; } 2>/dev/null &
wait "$command"; code=$?
while kill -0 "$command" 2>/dev/null; do wait "$command"; code=$?; done
exit "$code"
"""
"""The first process of a container; when it ends, all others end. The engine closes its standard input when the process
that started the container is gone, even if killed; then it ends the others. It merges the two output streams, since
separate ones would arrive out of order."""

_HOLD = """\
import ctypes, os, signal, sys
parent, stdin = int(sys.argv[1]), int(sys.argv[2])
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != parent:
    sys.exit(1)
os.dup2(stdin, 0)
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""Makes the docker client end with this process, even if that is killed (1 is PR_SET_PDEATHSIG of linux/prctl.h), and
gives it a standard input that ends only when the client does, so that the container outlives neither."""
_REFUSED = (
    "in a container, no command starts while another one runs that could put a symlink at {path}, which a rule or a "
    "repository needs as it is"
)
_CLIENT = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")


def command_line(
    argv: Sequence[str], *, image: str, workspace: Path, env: Mapping[str, str], rules: Rules, stdin_fd: int,
    temporary: Temporary | None = None, program: str = "docker", protected: Protected | None = None,
) -> list[str]:  # fmt: skip
    """Return the whole command line; start it with `client_env` as its environment.

    Args:
        argv: the command and its arguments; a program of this machine is looked up by its name in the image.
        image: image of the container.
        workspace: the folder that it runs in, and the only one it may change.
        env: its environment; PATH is the image's own.
        rules: what else is allowed.
        stdin_fd: the read end of a pipe whose write end the process inherits too.
        temporary: the folder for /tmp. None means an empty one that goes with the container.
        program: path of the docker client.
        protected: what it must not change. None means only what the rules hide, and our own code.

    Raises:
        OSError: the Python that holds the container's input lies where commands may change it.
    """
    untrusted = (workspace, *rules.write, *rules.untrusted)
    line = [
        interpreter(untrusted=untrusted), "-I", "-S", "-c", _HOLD, str(os.getpid()), str(stdin_fd), program,
        "run", "--rm", "--interactive", "--pull=never", "--read-only", "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--user={os.getuid()}:{os.getgid()}", "--hostname=sandbox", "--ulimit=core=0:0", "--workdir=/",
        "--entrypoint=sh", f"--env=HOME={TMP}", f"--env=TMPDIR={TMP}",
    ]  # fmt: skip
    empty = [TMP] if temporary is None else [TMP / name for name in sorted(temporary.covered)]
    size = rules.temporary_bytes_each(len(empty) + 1)
    line += [f"--tmpfs={path}:rw,exec,nosuid,nodev,mode=1777,size={size}" for path in empty]
    line.append(f"--shm-size={size}")
    if not rules.network:
        line.append("--network=none")
    line += _limits(rules.limits)
    # Names only: every user of the machine can read a value on the command line.
    loaded = loader_variables(env)
    line += [f"--env={name}" for name in env if name not in {*_CLIENT, "TMPDIR", *loaded}]
    line += [f"--env={name}={value}" for name, value in loaded.items()]
    # The engine accepts one mount per path, so a path that is both readable and writable is mounted writable.
    mounts = dict.fromkeys([path for path in rules.read if path.exists()], "readonly")
    mounts |= dict.fromkeys([workspace, *rules.write], "readonly=false")
    protected = protected or protected_paths(workspace, rules)
    mounts |= dict.fromkeys(protected.fixed, "readonly=false")
    mounts |= dict.fromkeys(protected.real_read_only(), "readonly")
    for path, how in mounts.items():
        line += _mount(path, path, how)
    for path in protected.hidden:
        line += [f"--tmpfs={path}:ro"] if path.is_dir() else _mount(Path(os.devnull), path, "readonly")
    if temporary is not None:
        line += _mount(temporary.folder, TMP, "readonly=false")
    wanted = Path(argv[0])
    is_local = wanted.is_absolute() and not any(wanted.is_relative_to(path) for path in mounts)
    # Not as --workdir: the engine would make that folder itself, and a /tmp above it that only root can write to.
    return [*line, image, "-c", _INIT, "sh", str(workspace), wanted.name if is_local else argv[0], *argv[1:]]


@dataclass(kw_only=True, slots=True)
class _Running:
    """The read ends of the pipes that containers hold open, and the folders that their commands may change."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    ends: dict[int, Sequence[Path]] = field(default_factory=dict[int, Sequence[Path]])


_running = _Running()


@contextmanager
def held_input(protected: Protected) -> Generator[tuple[int, int]]:
    """Open the pipe that a container has as its input while it runs, and never reads from.

    Args:
        protected: what its command must not change.

    Raises:
        OSError: another container that was started here may change the same folders, and so what the engine would mount
            by its name.
    """
    path = next(iter(protected.fixed), None)
    path = path or next((path for path in protected.read_only if path.parent not in protected.roots), None)
    with _running.lock:
        for end in list(_running.ends):
            ended = select.poll()
            ended.register(end, 0)
            if ended.poll(0):  # nobody holds the other end
                del _running.ends[end]
                os.close(end)
        if path is not None and any(root in roots for roots in _running.ends.values() for root in protected.roots):
            raise OSError(errno.EBUSY, _REFUSED.format(path=path))
        ends = os.pipe()
        _running.ends[os.dup(ends[0])] = protected.roots
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def client_env(env: Mapping[str, str], *, untrusted: Iterable[Path] = ()) -> dict[str, str]:
    """Return the environment of the docker client: the command's, and the variables that locate the engine.

    Args:
        env: of the command.
        untrusted: absolute folders whose programs the client must not start.
    """
    own = {name: os.environ[name] for name in _CLIENT if name in os.environ}
    commands = {name: value for name, value in env.items() if name not in loader_variables(env)}
    return {**commands, **own, "PATH": trusted_path(untrusted)}


def problem(image: str, *, untrusted: Iterable[Path] = ()) -> str:
    """Return why containers of an image cannot run here, and what to do. Empty if they can."""
    if not image:
        return (
            "`container` needs an image. Write, for example, sandbox: {use: container, image: python:3.12}, or "
            "find_sandbox('container', Rules(), image='python:3.12') for an Agent"
        )
    try:
        client = installed_program("docker", untrusted=untrusted)
        subprocess.run(
            [client, "image", "inspect", "--format={{.Id}}", image], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=20, check=True, env={**os.environ, "PATH": trusted_path(untrusted)},
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        if "no such image" in reason.lower():
            return f"the image {image} is not on this machine; get it with `docker pull {image}`"
        return f"docker says: {reason}"
    except FileNotFoundError:
        return "docker is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"docker does not answer: {error}"
    return ""


def _limits(limits: CommandLimits) -> Iterator[str]:
    if limits.processes:
        yield f"--pids-limit={limits.processes}"
    if limits.memory_mb:
        yield from (f"--memory={limits.memory_mb * MB}", f"--memory-swap={limits.memory_mb * MB}")
    if limits.file_mb:
        yield f"--ulimit=fsize={limits.file_mb * MB}:{limits.file_mb * MB}"
    if limits.cpu_s:
        yield f"--ulimit=cpu={limits.cpu_s}:{limits.cpu_s}"


def _mount(source: Path, target: Path, how: str) -> Sequence[str]:
    return ("--mount", ",".join(map(_quoted, ["type=bind", f"source={source}", f"target={target}", how])))


def _quoted(field: str) -> str:
    # --mount is parsed as a line of CSV.
    return '"' + field.replace('"', '""') + '"' if {",", '"'} & set(field) else field
