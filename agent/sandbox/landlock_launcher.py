"""Run a command under Landlock and a system call filter, and end all that it started; separate, to have one thread.

    python -I -S landlock_launcher.py RULES PROGRAM ARGUMENT...

RULES is JSON: `read` and `write` (lists of paths), `network` and `namespaces` (true or false), `limits` (resource
name to value), `env` (variables that only PROGRAM gets), `filter` (a BPF program in hexadecimal digits). PROGRAM is a
path: what would search for it may be inaccessible under the rules. No other module of the project is imported.

The process of this file starts a reaper, and the reaper starts the command. When the command ends, or this process is
killed, the reaper ends everything that the command has started, in whatever session. In a process namespace the kernel
does that when the reaper ends; elsewhere orphans come to the reaper, which kills them.
"""

import contextlib
import ctypes
import functools
import json
import os
import resource
import select
import signal
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterable

# linux/landlock.h and the table of system calls (the same numbers on all architectures since 5.1), Linux 6.18
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_PATH_BENEATH, _VERSION = 1, 1
_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read file, read dir
_WRITE = sum(1 << bit for bit in (1, *range(4, 13)))  # write file, remove and make of every kind
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FILES_ONLY = 1 << 0 | 1 << 1 | 1 << 2 | _TRUNCATE | _IOCTL_DEV
_TCP = 1 << 0 | 1 << 1  # bind, connect
_SCOPE_SOCKETS, _SCOPE_SIGNALS = 1 << 0, 1 << 1
# linux/prctl.h
_PR_SET_PDEATHSIG, _PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER = 1, 23, 24, 36
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
# linux/sched.h, linux/mount.h
_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_PIDS, _NEW_NETWORK = 1 << 17, 1 << 27, 1 << 28, 1 << 29, 1 << 30
_NOSUID_NODEV_NOEXEC, _PRIVATE = 2 | 4 | 8, 1 << 18 | 1 << 14

_FORWARDED = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2})
_STARTER_DIED = signal.SIGALRM
_KILL_S = 10.0
"""How long to wait for killed processes to end; one that waits for a dead disk never ends."""


def abi() -> int:
    """Return the Landlock version of this kernel. 0 means that it has none."""
    return max(0, _libc().syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION)))


def scopes_signals() -> bool:
    """Return whether this kernel can keep a command from sending signals to other processes (Linux 6.12)."""
    return abi() >= 6


def restrict(read: Iterable[str], write: Iterable[str], *, network: bool) -> None:
    """Restrict this process and everything it starts to these files, and block the network unless it is allowed.

    Raises:
        OSError: the kernel has no Landlock, or a version before 4.
    """
    files = _READ | _WRITE | _REFER | _TRUNCATE | (_IOCTL_DEV if abi() >= 5 else 0)
    rules = _ruleset(files, 0 if network else _TCP, _SCOPE_SOCKETS | _SCOPE_SIGNALS)
    for path, access in [*((path, _READ) for path in read), *((path, files) for path in write)]:
        _allow(rules, path, access & files)
    _enforce(rules)


def _ruleset(files: int, network: int, scopes: int) -> int:
    # A kernel before version 6 has no scopes, and rejects a struct that is longer than its own.
    attributes = struct.pack("=QQQ", files, network, scopes)[: 24 if scopes_signals() else 16]
    return _checked(_libc().syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0))


def _allow(rules: int, path: str, access: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    allowed = access if stat.S_ISDIR(os.fstat(opened).st_mode) else access & _FILES_ONLY
    _checked(_libc().syscall(_ADD, rules, _PATH_BENEATH, struct.pack("=Qi", allowed, opened), 0))
    os.close(opened)


def _enforce(rules: int) -> None:
    _checked(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(_libc().syscall(_RESTRICT, rules, 0))
    os.close(rules)


def drop_privileges() -> None:
    """Drop root's capabilities from the next program that is started; it then only owns root's files."""
    number = 0
    while _libc().prctl(_PR_CAPBSET_READ, number, 0, 0, 0) >= 0:
        _libc().prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)  # fails for other users, who have none
        number += 1


def load_filter(program: bytes) -> None:
    """Load a BPF program as the system call filter; requires `no_new_privs`, which `restrict` sets."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    buffer = ctypes.create_string_buffer(program)
    loaded = Program(len(program) // 8, ctypes.addressof(buffer))
    _checked(_libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(loaded), 0, 0))


def enter_namespaces(*, network: bool) -> None:
    """Enter new namespaces: mounts, shared memory, network unless it is allowed, and PIDs from the next child on.

    Raises:
        OSError: the machine does not allow it.
    """
    user, group = os.geteuid(), os.getegid()
    wanted = _NEW_MOUNTS | _NEW_IPC | _NEW_PIDS | (0 if network else _NEW_NETWORK)
    if _libc().unshare(wanted) == 0:  # as root
        return
    _checked(_libc().unshare(wanted | _NEW_USER))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with os.fdopen(os.open(f"/proc/self/{name}", os.O_WRONLY), "w") as file:
            file.write(text)


def mount_own_proc() -> None:
    """Replace /proc, in this process's mounts only, by that of its process namespace.

    Raises:
        OSError: the machine does not allow it, as in a container whose /proc is masked.
    """
    _checked(_libc().mount(b"none", b"/", None, ctypes.c_ulong(_PRIVATE), None))
    _checked(_libc().mount(b"proc", b"/proc", b"proc", ctypes.c_ulong(_NOSUID_NODEV_NOEXEC), None))


def supervise(command: Callable[[], None], *, namespaces: bool, network: bool) -> int:
    """Run a command in a child, end all that it started, and return its wait status; returns in no child.

    Args:
        command: replaces its process by the command.
        namespaces: run it in namespaces of its own.
        network: let it use the machine's network.

    Raises:
        OSError: the namespaces were refused.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_FORWARDED, signal.SIGCHLD})
    if namespaces:
        enter_namespaces(network=network)
    else:
        _checked(_libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))  # if the reaper is killed, its orphans come here
    _set_death_signal(signal.SIGKILL)
    reports, told = os.pipe()
    reaper = os.fork()
    if not reaper:
        os.close(reports)
        _reap(command, told, namespaces=namespaces, mask=before)
        os._exit(0)
    os.close(told)
    _wait(reaper, lambda number: os.kill(reaper, number))
    if not namespaces:
        _kill_children()
    report = os.read(reports, 64)
    return int(report) if report else signal.SIGKILL


def _reap(command: Callable[[], None], told: int, *, namespaces: bool, mask: Iterable[int]) -> None:
    """Start the command, end everything that is left when it or the starter has ended, and report its wait status."""
    os.setsid()  # whoever kills the session of the starter must not kill this process
    signal.pthread_sigmask(signal.SIG_BLOCK, {_STARTER_DIED})
    _set_death_signal(signal.SIGKILL if namespaces else _STARTER_DIED)
    watched = select.poll()
    watched.register(told, 0)
    if watched.poll(0):  # nobody reads: the starter died before it was watched
        return
    if namespaces:
        mount_own_proc()
    else:
        _checked(_libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    is_scoped = not namespaces and _scope_signals()
    started = os.fork()
    if not started:
        os.setsid()  # a signal to its process group reaches none of ours
        _set_death_signal(signal.SIGKILL)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        command()
    status = _wait(started, lambda number: os.killpg(started, number))
    if not namespaces:
        with contextlib.suppress(ProcessLookupError):
            if is_scoped:
                os.kill(-1, signal.SIGKILL)  # all that it started, in one step: nothing can fork meanwhile
        _kill_children()
    with contextlib.suppress(BrokenPipeError):  # the starter was killed
        os.write(told, str(status).encode())


def _wait(child: int, forward: Callable[[int], None]) -> int:
    """Wait for a child, forward signals meanwhile, reap orphans, and return its wait status."""
    while True:
        number = signal.sigwait({*_FORWARDED, _STARTER_DIED, signal.SIGCHLD})
        if number == _STARTER_DIED:
            return signal.SIGKILL
        if number != signal.SIGCHLD:
            with contextlib.suppress(ProcessLookupError):
                forward(number)
            continue
        ended = -1
        while ended:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == child:
                return status


def _scope_signals() -> bool:
    """Restrict this process to signalling what it starts; return whether the kernel can do that, and does."""
    if not scopes_signals():
        return False
    rules = _ruleset(_REFER, 0, _SCOPE_SIGNALS)
    _allow(rules, "/", _REFER)  # moving files between folders is refused unless every ruleset allows it
    _enforce(rules)
    with contextlib.suppress(PermissionError):
        os.kill(os.getppid(), 0)
        return False
    return True


def _kill_children() -> None:
    """Kill the children of this process, and theirs, which become its own, until none is left."""
    until = time.monotonic() + _KILL_S
    # ChildProcessError: none is left. FileNotFoundError: a kernel without CONFIG_PROC_CHILDREN.
    with contextlib.suppress(ChildProcessError, FileNotFoundError):
        while time.monotonic() < until:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
            for child in _children():
                os.kill(child, signal.SIGKILL)
            signal.sigtimedwait({signal.SIGCHLD}, 0.01)


def _children() -> list[int]:
    with os.fdopen(os.open("/proc/thread-self/children", os.O_RDONLY)) as file:
        return [int(word) for word in file.read().split()]


def _set_death_signal(number: int) -> None:
    """Choose the signal that this process gets when the one that started it ends."""
    _checked(_libc().prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def main() -> None:
    """Run the command, then end as it ended: with its exit code, or by the signal that killed it."""
    rules = json.loads(sys.argv[1])

    def command() -> None:
        for name, value in rules["limits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
        drop_privileges()
        restrict(rules["read"], rules["write"], network=rules["network"])
        if rules["filter"]:
            load_filter(bytes.fromhex(rules["filter"]))
        try:
            os.execve(sys.argv[2], sys.argv[2:], {**os.environ, **rules["env"]})  # noqa: S606 - replaces this process by the command; no shell may parse it again
        except OSError as error:
            sys.exit(f"{sys.argv[2]}: {error.strerror}")

    try:
        status = supervise(command, namespaces=rules["namespaces"], network=rules["network"])
    except OSError as error:  # in each of the three processes
        reason = f"The command could not be sandboxed: {error.strerror}."
        sys.exit(f"{reason} What this machine allows has changed since the run started: end it and resume it.")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))  # skips what Python does at its end; nothing here needs it


if __name__ == "__main__":
    main()
