"""Run a command under Landlock and a system call filter; a separate program, because it must have only one thread.

    python -I -S landlock.py RULES PROGRAM ARGUMENT...

RULES is JSON: `read` and `write` (lists of paths), `network` (true or false), `limits` (resource name to value), `env`
(variables that only PROGRAM gets), `filter` (a BPF program in hexadecimal digits). PROGRAM is a path, because the
standard library that would search for it may be inaccessible under the rules. This file imports no other module of the
project, so that it starts in a few milliseconds.
"""

import ctypes
import json
import os
import resource
import stat
import struct
import sys

# linux/landlock.h and the table of system calls (the same numbers on all architectures since 5.1), Linux 6.18
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_PATH_BENEATH = 1
_VERSION = 1
_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read file, read dir
_WRITE = sum(1 << bit for bit in (1, *range(4, 13)))  # write file, remove and make of every kind
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FILES_ONLY = 1 << 0 | 1 << 1 | 1 << 2 | _TRUNCATE | _IOCTL_DEV
_TCP = 1 << 0 | 1 << 1  # bind, connect
_SCOPES = 1 << 0 | 1 << 1  # abstract unix sockets, signals
_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2


def abi() -> int:
    """Return the Landlock version of this kernel. 0 means that it has none."""
    return max(0, _libc().syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION)))


def restrict(read: list[str], write: list[str], *, network: bool) -> None:
    """Restrict this process and everything it starts to these files, and block the network unless it is allowed.

    Raises:
        OSError: the kernel has no Landlock, or a version before 4.
    """
    version = abi()
    files = _READ | _WRITE | _REFER | _TRUNCATE | (_IOCTL_DEV if version >= 5 else 0)
    # A kernel before version 6 has no scopes, and rejects a struct that is longer than its own.
    attributes = struct.pack("=QQQ", files, 0 if network else _TCP, _SCOPES)[: 24 if version >= 6 else 16]
    rules = _checked(_libc().syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0))
    for path, access in [*((path, _READ) for path in read), *((path, files) for path in write)]:
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        allowed = access & files if stat.S_ISDIR(os.fstat(opened).st_mode) else access & files & _FILES_ONLY
        _checked(_libc().syscall(_ADD, rules, _PATH_BENEATH, struct.pack("=Qi", allowed, opened), 0))
        os.close(opened)
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


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def main() -> None:
    """Restrict this process, then replace it by the command."""
    rules = json.loads(sys.argv[1])
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


if __name__ == "__main__":
    main()
