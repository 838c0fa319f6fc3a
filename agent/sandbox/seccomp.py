"""Build the system call filter of sandboxed commands as a BPF program; does not load it."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import struct
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

# Numbers of system calls: x86-64 from arch/x86/entry/syscalls/syscall_64.tbl, arm64 from scripts/syscall.tbl
# (Linux 6.18); 0 means that the architecture has no such call.
_REFUSED: Mapping[str, tuple[int, int]] = {
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "move_mount": (429, 429),
    "open_tree": (428, 428), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "unshare": (272, 97), "setns": (308, 268),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "syslog": (103, 116), "open_by_handle_at": (304, 265), "quotactl": (179, 60),
}  # fmt: skip
# Calls that a C library tries first and can do without; their arguments are behind a pointer, which no filter can read.
_ABSENT: Mapping[str, tuple[int, int]] = {"clone3": (435, 435), "openat2": (437, 437)}
# Refused with set-user-ID or set-group-ID in the mode; the last number is the index of the mode argument.
_MODES: Mapping[str, tuple[int, int, int]] = {
    "chmod": (90, 0, 1), "fchmod": (91, 52, 1), "fchmodat": (268, 53, 2), "fchmodat2": (452, 452, 2),
    "creat": (85, 0, 1), "mknod": (133, 0, 1), "mknodat": (259, 33, 2),
}  # fmt: skip
# The same if the argument before it says that a file is created; otherwise the mode is unset and can be anything.
_MODES_IF_CREATED: Mapping[str, tuple[int, int, int]] = {"open": (2, 0, 2), "openat": (257, 56, 3)}
_CREATES_A_FILE = 0o100 | 0o20_000_000
"""O_CREAT, and the bit of O_TMPFILE that no other flag uses (asm-generic/fcntl.h)."""
_SET_ID = 0o6000
_CLONE = (56, 220)
_CLONE_NEWUSER = 0x1000_0000
_SOCKET = (41, 198)
_SOCKETPAIR = (53, 199)
_SOCK_DGRAM = 2
"""This bit is also in SOCK_RAW, which is the same for AF_UNIX, and not in SOCK_STREAM and SOCK_SEQPACKET."""
_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, then AF_INET, AF_INET6, AF_NETLINK; no others, such as AF_VSOCK, which reaches the machine's host."""
_IOCTL = (16, 29)
_TIOCSTI = 0x5412
"""Simulates input to the terminal (asm-generic/ioctls.h)."""
_AUDIT_ARCH = (0xC000_003E, 0xC000_00B7)
_X32 = 0x4000_0000

# linux/bpf_common.h, linux/seccomp.h
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16

MACHINES: Mapping[str, int] = {"x86_64": 0, "aarch64": 1}


@dataclass(frozen=True, kw_only=True)
class _Step:
    code: int
    value: int
    if_true: int | None = None
    """Verdict if the test holds. None means continue."""
    if_false: int | None = None
    """Verdict if the test does not hold. None means continue."""
    skip: int = 0
    """How many steps to skip if the test does not hold."""


def program(machine: str | None = None, *, sockets: bool = True) -> bytes:
    """Return the filter as an array of `struct sock_filter`.

    Args:
        machine: as printed by `uname -m`. None means this machine.
        sockets: allow internet, unix and netlink sockets. They do no harm if the command has its own network namespace
            and sees no socket files of others. Without them, a command has only pairs of sockets that are connected.

    Raises:
        KeyError: there is no filter for the machine; see `MACHINES`.
    """
    column = MACHINES[machine or platform.machine()]
    return _assemble(_steps(column, sockets=sockets))


@contextlib.contextmanager
def filter_file() -> Generator[int | None]:
    """Open a file with the filter for bubblewrap. None means that there is no filter for this machine."""
    if platform.machine() not in MACHINES:
        yield None
        return
    opened = os.memfd_create("filter")
    try:
        os.write(opened, program())
        os.lseek(opened, 0, os.SEEK_SET)
        yield opened
    finally:
        os.close(opened)


def _steps(column: int, *, sockets: bool) -> list[_Step]:
    refused, absent = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    steps = [
        _Step(code=_LOAD, value=_ARCH_AT),
        _Step(code=_EQUAL, value=_AUDIT_ARCH[column], if_false=_KILL),
        _Step(code=_LOAD, value=_NUMBER_AT),
    ]
    if column == 0:
        steps.append(_Step(code=_AT_LEAST, value=_X32, if_true=refused))
    steps += [_Step(code=_EQUAL, value=numbers[column], if_true=refused) for numbers in _REFUSED.values()]
    steps += [_Step(code=_EQUAL, value=numbers[column], if_true=absent) for numbers in _ABSENT.values()]
    for *numbers, argument in _MODES.values():
        if numbers[column]:
            steps += _on_argument(numbers[column], argument, [_Step(code=_ANY_BIT, value=_SET_ID, if_true=refused)])
    for *numbers, argument in _MODES_IF_CREATED.values():
        if numbers[column]:
            mode = _Step(code=_LOAD, value=_ARGUMENTS_AT + 8 * argument)
            tests = [mode, _Step(code=_ANY_BIT, value=_SET_ID, if_true=refused)]
            creates = _Step(code=_ANY_BIT, value=_CREATES_A_FILE, skip=len(tests))
            steps += _on_argument(numbers[column], argument - 1, [creates, *tests])
    steps += _on_argument(_CLONE[column], 0, [_Step(code=_ANY_BIT, value=_CLONE_NEWUSER, if_true=refused)])
    steps += _on_argument(_IOCTL[column], 1, [_Step(code=_EQUAL, value=_TIOCSTI, if_true=refused)])
    none = _ERRNO | errno.EAFNOSUPPORT
    if sockets:
        allowed = [_Step(code=_EQUAL, value=family, if_true=_ALLOW) for family in _FAMILIES]
        steps += _on_argument(_SOCKET[column], 0, [*allowed, _Step(code=_RETURN, value=none)])
    else:
        steps.append(_Step(code=_EQUAL, value=_SOCKET[column], if_true=none))
        # A datagram socket of a pair can still be sent to any address; a connected stream cannot.
        datagrams = [_Step(code=_ANY_BIT, value=_SOCK_DGRAM, if_true=none)]
        steps += _on_argument(_SOCKETPAIR[column], 1, datagrams)
    return [*steps, _Step(code=_RETURN, value=_ALLOW)]


def _on_argument(number: int, argument: int, tests: Sequence[_Step]) -> list[_Step]:
    """Test the low half of one argument of one call, then load the call's number again."""
    load = _Step(code=_LOAD, value=_ARGUMENTS_AT + 8 * argument)
    reload = _Step(code=_LOAD, value=_NUMBER_AT)
    return [_Step(code=_EQUAL, value=number, skip=len(tests) + 2), load, *tests, reload]


def _assemble(steps: Sequence[_Step]) -> bytes:
    verdicts = sorted({value for step in steps for value in (step.if_true, step.if_false) if value is not None})
    place = {value: len(steps) + at for at, value in enumerate(verdicts)}
    found = bytearray()
    for at, step in enumerate(steps):
        jumps = [
            0 if value is None else place[value] - at - 1 for value in (step.if_true, step.if_false)
        ]  # fmt: skip
        if step.skip:
            jumps[1] = step.skip
        found += struct.pack("=HBBI", step.code, *jumps, step.value)
    for value in verdicts:
        found += struct.pack("=HBBI", _RETURN, 0, 0, value)
    return bytes(found)
