"""Make network and mount namespaces on request; a program of its own, because only one thread may enter a namespace.

    python -I -S namespaces_helper.py

Standard input is a socket. The program first sends its user namespace, in which it needs all capabilities, and ends
when the other side is closed. A request is a line of JSON: `{}` for a network with nothing but a loopback interface, or
`roots` and `mounts`, as `mount_all` takes them, for a copy of its mounts with those in it. The answer is an open
namespace, or why there is none. No other module of the project is imported.

In a folder that commands may change, every name can become a symlink at any moment. So a path below a root is walked
from folder to folder, each opened in the one before, and what is mounted, and on what, are open files.
"""

import array
import ctypes
import errno
import fcntl
import json
import os
import resource
import socket
import stat
import struct
import sys
from collections.abc import Iterable

# linux/sched.h, linux/mount.h, linux/sockios.h, linux/if.h; numbers of system calls are the same on all architectures
_NEW_MOUNTS, _NEW_NETWORK = 0x0002_0000, 0x4000_0000
_RDONLY, _NOSUID, _NODEV, _NOEXEC = 1, 2, 4, 8  # as in the flags of a file system that statvfs returns
_REMOUNT, _BIND, _RECURSIVE, _SLAVE = 32, 4096, 16384, 1 << 19
_OPEN_TREE, _MOVE_MOUNT = 428, 429
_CLONE, _CLOEXEC, _EMPTY_PATH, _RECURSIVE_TREE = 1, os.O_CLOEXEC, 0x1000, 0x8000
_FROM_OPENED, _ONTO_OPENED = 0x04, 0x40
_SET_FLAGS, _UP = 0x8914, 1
_OPEN = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR})
_libc = ctypes.CDLL(None, use_errno=True)


def serve(requests: socket.socket) -> None:
    """Answer requests until the other side is closed."""
    _mount(None, "/", None, _RECURSIVE | _SLAVE)  # what the machine mounts later is seen here too, if it is shared
    _send(requests, "", os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC))
    with requests.makefile("rb") as lines:
        for line in lines:
            wanted = json.loads(line)
            kind = "mnt" if wanted else "net"
            own = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                _checked(_libc.unshare(_NEW_MOUNTS if wanted else _NEW_NETWORK))
                if wanted:
                    mount_all(wanted["roots"], wanted["mounts"])
                else:
                    _start_loopback()
                made = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                _send(requests, error.strerror or str(error))
            else:
                _send(requests, "", made)
                os.close(made)
            _checked(_libc.setns(own, 0))
            os.close(own)


def mount_all(roots: Iterable[tuple[str, int, int]], mounts: Iterable[tuple[str, int, str]]) -> None:
    """Mount what keeps paths as they are; one that is missing, or that a symlink leads to, is left out.

    Args:
        roots: absolute paths of folders that commands may change, their devices and inodes.
        mounts: kind, index of the root, and path relative to it, the outer folders first. `fixed` mounts a folder onto
            itself, `read-only` makes it read-only too, `hidden` covers a file or folder.

    Raises:
        OSError: the machine does not allow it.
    """
    opened: dict[tuple[int, tuple[str, ...]], int] = {}
    nothing = os.open(os.devnull, _OPEN)
    try:
        for at, (root, device, inode) in enumerate(roots):
            opened[at, ()] = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            facts = os.fstat(opened[at, ()])
            if (facts.st_dev, facts.st_ino) != (device, inode):
                sys.exit(f"Another file system was mounted at or above {root} since this program started.")
        for kind, root, path in mounts:
            parts = tuple(path.split("/"))
            known = next(parts[:length] for length in range(len(parts) - 1, -1, -1) if (root, parts[:length]) in opened)
            target = _walked(opened[root, known], parts[len(known) :])
            if target is None:
                continue
            if kind != "hidden":
                opened[root, parts] = _covered(target, target, _RDONLY if kind == "read-only" else 0)
            elif stat.S_ISDIR(os.fstat(target).st_mode):
                _mount("tmpfs", f"/proc/self/fd/{target}", "tmpfs", _RDONLY | _NOSUID | _NODEV)
            else:
                os.close(_covered(nothing, target, _RDONLY))
            os.close(target)
    finally:
        for number in (nothing, *opened.values()):
            os.close(number)


def _walked(folder: int, parts: Iterable[str]) -> int | None:
    """Return what a path below an open folder leads to, opened. None if it is missing, or a symlink is on the way."""
    opened = os.dup(folder)
    for part in parts:
        outer = opened
        try:
            opened = os.open(part, _OPEN, dir_fd=outer)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise
        finally:
            os.close(outer)
        if part == ".." or stat.S_ISLNK(os.fstat(opened).st_mode):
            os.close(opened)
            return None
    return opened


def _covered(source: int, target: int, flags: int) -> int:
    """Mount an open file or folder onto another, and return the mount, opened."""
    how = ctypes.c_uint(_CLONE | _CLOEXEC | _EMPTY_PATH | _RECURSIVE_TREE)
    made = _checked(_libc.syscall(_OPEN_TREE, source, b"", how))
    _checked(_libc.syscall(_MOVE_MOUNT, made, b"", target, b"", ctypes.c_uint(_FROM_OPENED | _ONTO_OPENED)))
    kept = os.fstatvfs(made).f_flag & (_RDONLY | _NOSUID | _NODEV | _NOEXEC)
    # With these flags bubblewrap finds nothing to change: it would look for each mount by its path.
    _mount(None, f"/proc/self/fd/{made}", None, _REMOUNT | _BIND | _NOSUID | _NODEV | kept | flags)
    return made


def _mount(source: str | None, target: str, kind: str | None, flags: int) -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind)]
    _checked(_libc.mount(*words, ctypes.c_ulong(flags), None))


def _start_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH22x", b"lo", _UP))


def _send(requests: socket.socket, problem: str, *made: int) -> None:
    extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", made))] if made else []
    requests.sendmsg([f"{problem}\n".encode()], extra)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each folder on the way to a path stays open
    serve(socket.socket(fileno=0))
