"""Read, write and list files in a workspace by paths from a model; every refusal is a ToolError it can act on."""

from __future__ import annotations

import errno
import os
import posixpath
import re
import secrets
import stat
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO, NewType, NoReturn

from agent import LeadsOut, Protected, ToolError, inside_of, open_beneath, open_regular, opened_parent

from ._listing import Entry, Listing, scan
from ._suggestions import printable, suggestion

__all__ = [
    "Entry", "Inside", "below", "exists", "inside", "is_executable", "is_folder", "list_folder", "open_file",
    "printable", "refuse", "remove", "replace_file", "set_executable",
]  # fmt: skip

MAX_PATH_BYTES = 4_000  # PATH_MAX is 4,096, including the path of the workspace
MAX_NAME_BYTES = 255

_EFFECTIVE = os.access in os.supports_effective_ids

Inside = NewType("Inside", str)
"""A path relative to the workspace, checked by `inside` or built from the names of a listing."""


def inside(workspace: Path, path: str) -> Inside:
    """Return a model's path relative to the workspace, normalized; `.` for the workspace itself.

    `..` is resolved textually, before any symlink is followed.

    Raises:
        ToolError: the path is not legal, or leads out of the workspace.
    """
    _check_text(path)
    normalized = posixpath.normpath(path)
    relative = inside_of(workspace, normalized) if normalized.startswith("/") else normalized
    if relative is None or relative == ".." or relative.startswith("../"):
        msg = (
            f'"{path}" is outside the workspace {workspace}. Only files inside it can be reached: '
            "give a path relative to it."
        )
        raise ToolError(msg)
    return Inside(relative)


def below(folder: Inside, name: str) -> Inside:
    """Return the path of an entry in a listing of `folder`."""
    return Inside(name if folder == "." else f"{folder}/{name}")


def open_file(workspace: Path, relative: Inside) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        ToolError: the file does not exist, may not be read, or is not a regular file.
    """
    try:
        return open_regular(workspace, relative, follow=True)
    except OSError as error:
        if error.errno in {errno.EISDIR, errno.EINVAL}:
            raise ToolError(_not_a_file(relative, is_folder=error.errno == errno.EISDIR)) from error
        refuse(workspace, relative, error)


def replace_file(workspace: Path, relative: Inside, data: bytes) -> None:
    """Write a file atomically, replacing an existing one; create missing folders.

    A replaced file keeps its permission bits, except setuid and setgid. Of a symlink, the target is replaced.

    Raises:
        ToolError: the path may not be written.
    """
    try:
        with _parent_to_change(workspace, relative) as (folder, name):
            _replace(folder, name, relative, data)
    except OSError as error:
        refuse(workspace, relative, error)


def exists(workspace: Path, relative: Inside) -> bool:
    """Return whether anything exists at the path.

    Raises:
        ToolError: the path may not be reached.
    """
    try:
        os.close(open_beneath(workspace, relative, getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK), follow=True))
    except FileNotFoundError:
        return False
    except OSError as error:
        refuse(workspace, relative, error)
    return True


def remove(workspace: Path, relative: Inside) -> None:
    """Remove a file, or a symlink itself, and the folders that are empty then.

    Raises:
        ToolError: it does not exist, or may not be removed.
    """
    try:
        with _parent_to_change(workspace, relative) as (folder, name):
            _check_writable(folder, name, relative)
            os.unlink(name, dir_fd=folder)
    except OSError as error:
        refuse(workspace, relative, error)
    with suppress(OSError):  # ends at the first folder that is not empty
        _remove_empty_folders(workspace, posixpath.dirname(relative))


def is_executable(workspace: Path, relative: Inside) -> bool:
    """Return whether the owner of a file may execute it.

    Raises:
        ToolError: the file does not exist, or may not be read.
    """
    with open_file(workspace, relative) as file:
        return bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)


def set_executable(workspace: Path, relative: Inside, *, executable: bool) -> None:
    """Make a file executable for all who may read it, or for nobody.

    Raises:
        ToolError: the file does not exist, or its mode may not be changed.
    """
    with open_file(workspace, relative) as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        try:
            os.fchmod(file.fileno(), mode | (mode & 0o444) >> 2 if executable else mode & ~0o111)
        except OSError as error:
            refuse(workspace, relative, error)


def list_folder(workspace: Path, relative: Inside) -> Listing:
    """List one folder; symlinks are listed, not followed.

    Raises:
        ToolError: it does not exist, may not be read, or is not a folder.
    """
    try:
        return scan(workspace, relative)
    except OSError as error:
        refuse(workspace, relative, error)


def is_folder(workspace: Path, relative: Inside) -> bool:
    """Return whether the path is a folder.

    Raises:
        ToolError: it does not exist, or may not be reached.
    """
    try:
        descriptor = open_beneath(workspace, relative, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, follow=True)
    except OSError as error:
        refuse(workspace, relative, error)
    try:
        return stat.S_ISDIR(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def refuse(workspace: Path, relative: str, error: OSError) -> NoReturn:
    """Raise the ToolError that tells the model why the system, or a rule of this module, rejects a path."""
    raise ToolError(_reason(workspace, relative, error)) from error


def _reason(workspace: Path, relative: str, error: OSError) -> str:
    if isinstance(error, LeadsOut):
        link = f'its link "{error.link}"' if error.link else "it"
        return f'"{relative}" cannot be reached: {link} leads out of the workspace. Work with files inside it.'
    if isinstance(error, Protected) and not error.name:
        return (
            f'"{relative}" is part of what this agent itself runs from, which a run cannot change. Leave it as it is.'
        )
    if isinstance(error, Protected):
        return f'"{relative}" is in .git, which may not be written. Use git commands for what git keeps there.'
    if error.errno == errno.ENOENT:
        return f'There is no "{relative}" in the workspace. {suggestion(workspace, relative)}'
    texts = {
        errno.ENOTDIR: "a part of it is not a folder. Call list_files to see what there is.",
        errno.EISDIR: "it is a folder. Call list_files to see its files.",
        errno.EACCES: "permission denied. Work with other files.",
        errno.EROFS: "it is on a read-only file system. Write elsewhere.",
        errno.ELOOP: "its links go round in a circle. Use the path of the file itself.",
        errno.ENXIO: "it is a socket or a device, not a file. Work with other files.",
        errno.ENOSPC: "the disk is full. Remove what is no longer needed.",
    }
    text = texts.get(error.errno or 0) or f"{error.strerror or error}. Check the path with list_files."
    return f'"{relative}" cannot be used: {text}'


def _check_text(path: str) -> None:
    try:
        data = path.encode()
    except UnicodeEncodeError as error:
        msg = f"The path {path!a} is not valid Unicode. Send the name as list_files shows it."
        raise ToolError(msg) from error
    if not path:
        msg = 'The path is empty. Give the path of a file, or "." for the workspace.'
    elif re.search(r"[\x00-\x1f\x7f]", path):
        msg = f"The path {path!a} holds a control character. Give a plain file name."
    elif len(data) > MAX_PATH_BYTES:
        msg = f"The path is {len(data)} bytes long, more than {MAX_PATH_BYTES}. Give a shorter one."
    elif longest := next((part for part in path.split("/") if len(part.encode()) > MAX_NAME_BYTES), None):
        msg = f'The name "{longest[:40]}..." is longer than {MAX_NAME_BYTES} bytes. Give a shorter one.'
    else:
        return
    raise ToolError(msg)


def _parent_to_change(workspace: Path, relative: Inside) -> AbstractContextManager[tuple[int, str]]:
    # Git runs hooks and commands from settings it finds there, outside any sandbox.
    return opened_parent(workspace, relative, follow=True, create=True, protected=frozenset({".git"}))


def _not_a_file(relative: str, *, is_folder: bool) -> str:
    if is_folder:
        return f'"{relative}" is a folder. Call list_files to see its files.'
    return f'"{relative}" is not a regular file (a pipe, a socket or a device). Work with other files.'


def _replace(folder: int, name: str, relative: str, data: bytes) -> None:
    """Write a new file in the same folder and rename it over the old one; no symlink is followed."""
    mode = _mode_of(folder, name, relative)
    temporary = f".{secrets.token_hex(8)}.tmp"  # unguessable: other processes may write to this folder too
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o666, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if mode is not None:
                os.fchmod(file.fileno(), mode)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _remove_empty_folders(workspace: Path, folder: str) -> None:
    while folder:
        above, _, name = folder.rpartition("/")
        opened = open_beneath(workspace, above, os.O_RDONLY | os.O_DIRECTORY, follow=True)
        try:
            os.rmdir(name, dir_fd=opened)
        finally:
            os.close(opened)
        folder = above


def _check_writable(folder: int, name: str, relative: str) -> None:
    """Refuse a file that is write-protected: it would be replaced or removed, which its own mode cannot prevent."""
    mode = os.lstat(name, dir_fd=folder).st_mode
    if stat.S_ISREG(mode) and not os.access(name, os.W_OK, dir_fd=folder, effective_ids=_EFFECTIVE):
        msg = (
            f'"{relative}" is write-protected (mode {stat.S_IMODE(mode):o}). If it may be changed, make it writable '
            "first: run_shell with chmod u+w."
        )
        raise ToolError(msg)


def _mode_of(folder: int, name: str, relative: str) -> int | None:
    """Return the permission bits of the file to replace. None means that it does not exist yet."""
    try:
        mode = os.lstat(name, dir_fd=folder).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise ToolError(_not_a_file(relative, is_folder=stat.S_ISDIR(mode)))
    _check_writable(folder, name, relative)
    return stat.S_IMODE(mode) & 0o777
