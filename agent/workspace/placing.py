"""Change the files of a tree by descriptors, so that a symlink put in the place of a folder leads nowhere."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..sandbox.beneath import MAX_PATH_BYTES, open_beneath, open_regular, opened_parent
from ..sandbox.removal import remove_tree
from .tree import Entry, entry_below, same_content


def place_file(path: str, source: Path, target: Path) -> None:
    """Replace a file or symlink by that of another tree, with mode and time; a crash leaves the old or the new one.

    Args:
        path: relative to both trees.
        source: the tree that it is copied from.
        target: the tree that it is placed in.

    Raises:
        OSError: the copy could not be made, or the target is a folder.
    """
    # Unguessable, so that nothing can be planted under that name; the next restore removes what a crash leaves.
    partial = f".{secrets.token_hex(8)}.partial"
    with opened_parent(source, path) as (before, name), opened_parent(target, path) as (folder, _):
        try:
            facts = os.lstat(name, dir_fd=before)
            if stat.S_ISLNK(facts.st_mode):
                os.symlink(os.readlink(name, dir_fd=before), partial, dir_fd=folder)
                times = (facts.st_atime_ns, facts.st_mtime_ns)
                os.utime(partial, ns=times, dir_fd=folder, follow_symlinks=False)
            else:
                _copy_file(path, source, partial, folder)
            os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(partial, dir_fd=folder)
            raise


def make_folder(root: Path, path: str) -> None:
    """Create a folder.

    Raises:
        OSError: it is there, or cannot be created.
    """
    with opened_parent(root, path) as (folder, name):
        os.mkdir(name, dir_fd=folder)


def place_placeholder(root: Path, path: str, entry: Entry) -> None:
    """Create a file with the size, mode and time of an entry but without its content; it takes no disk space.

    Raises:
        OSError: it is there, or cannot be created.
    """
    with opened_parent(root, path) as (folder, name):
        opened = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        os.truncate(opened, entry.size_bytes)
    finally:
        os.close(opened)
    set_metadata(root, path, entry)


def share_file(path: str, known: Path, source: Path, target: Path, entry: Entry) -> bool:
    """Hard-link a file of `known` in `target` if it equals that of `source`; return whether it did.

    Args:
        path: relative to all three trees.
        known: a tree whose files are never written to.
        source: the tree that is being copied.
        target: the copy; nothing is at the path yet.
        entry: the entry of the path in the source.

    Raises:
        OSError: a file cannot be read.
    """
    if entry.kind != "file" or entry_below(known, path) != entry or not same_content(path, known, source):
        return False
    return link_file(path, known, target)


def link_file(path: str, source: Path, target: Path) -> bool:
    """Hard-link a file of one tree at the same path of another; return whether the file systems allow it."""
    with opened_parent(source, path) as (before, name), opened_parent(target, path) as (folder, _):
        try:
            os.link(name, name, src_dir_fd=before, dst_dir_fd=folder, follow_symlinks=False)
        except OSError:  # another file system, or one without hard links
            return False
    return True


def set_metadata(root: Path, path: str, entry: Entry) -> None:
    """Set the mode and time of a file or folder to those of an entry; skip it if it became another kind."""
    with _pinned(root, path) as (itself, facts):
        if stat.S_ISDIR(facts.st_mode) != (entry.kind == "folder") or stat.S_ISLNK(facts.st_mode):
            return
        if stat.S_IMODE(facts.st_mode) != entry.mode:
            itself.chmod(entry.mode)
        if facts.st_mtime_ns != entry.mtime_ns:
            os.utime(itself, ns=(facts.st_atime_ns, entry.mtime_ns))


def clear_set_ids(root: Path, path: str, *, since_ns: int) -> bool:
    """Take set-user-ID and set-group-ID from a file that was changed since a moment; return whether it had one."""
    with _pinned(root, path) as (itself, facts):
        mode = stat.S_IMODE(facts.st_mode)
        plain = mode & ~(stat.S_ISUID | stat.S_ISGID)
        if not stat.S_ISREG(facts.st_mode) or mode == plain or facts.st_ctime_ns < since_ns:
            return False
        itself.chmod(plain)
        return True


def set_folder_mode(root: Path, path: str, mode: int) -> None:
    """Set the mode of a folder; do nothing if it is not a folder any more."""
    try:
        with _pinned(root, path) as (itself, facts):
            if stat.S_ISDIR(facts.st_mode):
                itself.chmod(mode)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            raise


def make_accessible(root: Path, path: str) -> int | None:
    """Grant the owner full access to a folder; return its previous mode, or None if nothing had to change."""
    with _pinned(root, path) as (itself, facts):
        mode = stat.S_IMODE(facts.st_mode)
        if not stat.S_ISDIR(facts.st_mode) or mode & stat.S_IRWXU == stat.S_IRWXU:
            return None
        itself.chmod(mode | stat.S_IRWXU)
        return mode


def folders_in(root: Path, path: str, *, protected: frozenset[str]) -> list[str]:
    """Return the names of the folders in a folder, without symlinks and protected names."""
    opened = open_beneath(root, path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.scandir(opened) as items:
            return [item.name for item in items if item.name not in protected and item.is_dir(follow_symlinks=False)]
    finally:
        os.close(opened)


def names_in(root: Path, path: str) -> list[str]:
    """Return the sorted names of everything in a folder."""
    opened = open_beneath(root, path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.scandir(opened) as items:
            return sorted(item.name for item in items)
    finally:
        os.close(opened)


def remove(root: Path, path: str, *, protected: frozenset[str]) -> bool:
    """Remove a file, symlink or folder tree; return False if protected names, and the folders they are in, remain.

    Returns True as well if it is not there.

    Raises:
        OSError: it could not be removed.
    """
    pending, folders, kept = [path], list[str](), False
    while pending:  # not recursive: a command can nest 2,000 folders in one path
        item = pending.pop()
        if _remove_leaf(root, item):
            continue
        folders.append(item)
        make_accessible(root, item)
        for name in names_in(root, item):
            if name in protected:
                kept = True
            elif len(os.fsencode(item)) + len(os.fsencode(name)) < MAX_PATH_BYTES:
                pending.append(f"{item}/{name}")
            else:
                _remove_too_deep(root, item, name)
    for folder in reversed(folders):
        remove_folder(root, folder)
    return not kept


def _remove_leaf(root: Path, path: str) -> bool:
    """Remove anything but a folder; return False for a folder."""
    try:
        with opened_parent(root, path) as (folder, name):
            if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
                return False
            os.unlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            raise
    return True


def _remove_too_deep(root: Path, folder: str, name: str) -> None:
    opened = open_beneath(root, folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        remove_tree(Path(f"/proc/self/fd/{opened}", name))
    finally:
        os.close(opened)


def remove_folder(root: Path, path: str) -> bool:
    """Remove a folder; return False if something is in it.

    Raises:
        OSError: it could not be removed for another reason.
    """
    with opened_parent(root, path) as (folder, name):
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                return False
            raise
    return True


def unlink(root: Path, path: str) -> None:
    """Remove a file or symlink.

    Raises:
        OSError: it is not there, or a folder.
    """
    with opened_parent(root, path) as (folder, name):
        os.unlink(name, dir_fd=folder)


def restore_path(root: Path, path: str, wanted: Entry, found: Entry | None, source: Path) -> bool:
    """Restore one path from the tree `source`; return whether anything changed."""
    if found is None or found.kind != wanted.kind:
        if wanted.kind != "folder":
            place_file(path, source, root)
        else:
            with opened_parent(root, path) as (folder, name):
                with suppress(FileNotFoundError):  # a pipe, socket or device, which `scan` does not list
                    os.unlink(name, dir_fd=folder)
                os.mkdir(name, dir_fd=folder)
        return True
    if wanted.kind == "folder":
        return found.mode != wanted.mode
    if wanted.kind == "link":
        same = found.target == wanted.target
    else:
        same = found.size_bytes == wanted.size_bytes and same_content(path, source, root)
    if not same:
        place_file(path, source, root)
        return True
    if wanted.kind == "link" or (found.mode, found.mtime_ns) == (wanted.mode, wanted.mtime_ns):
        return False
    set_metadata(root, path, wanted)
    return True


def _copy_file(path: str, source: Path, name: str, folder: int) -> None:
    with open_regular(source, path) as file:
        facts = os.fstat(file.fileno())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "wb") as copy:
            shutil.copyfileobj(file, copy, 1024 * 1024)
            copy.flush()
            with suppress(OSError):  # a file system without them
                for key in os.listxattr(file.fileno()):
                    os.setxattr(copy.fileno(), key, os.getxattr(file.fileno(), key))
            os.fchmod(copy.fileno(), stat.S_IMODE(facts.st_mode))
            os.utime(copy.fileno(), ns=(facts.st_atime_ns, facts.st_mtime_ns))


@contextmanager
def _pinned(root: Path, path: str) -> Generator[tuple[Path, os.stat_result]]:
    """Yield a path that names what is at `path` now, also once that name means something else; and its facts."""
    with opened_parent(root, path) if path else _opened_root(root) as (folder, name):
        pinned = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield Path(f"/proc/self/fd/{pinned}"), os.fstat(pinned)
    finally:
        os.close(pinned)


@contextmanager
def _opened_root(root: Path) -> Generator[tuple[int, str]]:
    opened = os.open(root, os.O_PATH | os.O_DIRECTORY)  # it may deny access
    try:
        yield opened, "."
    finally:
        os.close(opened)
