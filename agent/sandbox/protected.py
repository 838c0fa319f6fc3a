"""Return the paths that a command must not change, though it may change the folders around them; mounts nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .own_code import own_code_in
from .repositories import real_paths
from .rules import Rules


@dataclass(frozen=True, kw_only=True, slots=True)
class Protected:
    """Absolute paths in folders that a command may change."""

    roots: Sequence[Path]
    """The folders."""
    fixed: Sequence[Path]
    """Folders between a root and a protected path, the outer ones first; each is mounted onto itself: a mount cannot be
    renamed, and so nothing else can get the name of such a path."""
    read_only: Sequence[Path]
    hidden: Sequence[Path]

    def real_read_only(self) -> Iterable[Path]:
        """Return the read-only paths that exist, and that no symlink in a root leads to."""
        return real_paths(self.read_only, self.roots)

    def request(self) -> Mapping[str, object]:
        """Return what to ask of the helper of `namespaces`; no mounts if nothing is protected.

        Raises:
            OSError: a root is gone.
        """
        kinds = (("fixed", self.fixed), ("read-only", self.read_only), ("hidden", self.hidden))
        tops = [(at, top) for at, root in enumerate(self.roots) for top in dict.fromkeys((root, root.resolve()))]
        mounts: list[tuple[str, int, str]] = []
        for kind, path in [(kind, path) for kind, paths in kinds for path in paths]:
            at, top = next(((at, top) for at, top in tops if top in path.parents), (0, None))
            if top is not None:
                mounts.append((kind, at, path.relative_to(top).as_posix()))
        facts = [(root, root.stat()) for root in self.roots] if mounts else []
        return {"roots": [(str(root), found.st_dev, found.st_ino) for root, found in facts], "mounts": mounts}


def protected_paths(workspace: Path, rules: Rules, git: Sequence[Path] = ()) -> Protected:
    """Return what a command must not change in the folders that it may change.

    Args:
        workspace: the folder that it runs in and may change.
        rules: what else it may change, and what is hidden from it.
        git: what belongs to git in these folders.
    """
    roots = (workspace, *rules.write)
    own_code = own_code_in(roots)
    inside = {folder for path in (*own_code, *rules.hidden) for folder in path.parents}
    fixed = sorted(folder for folder in inside if any(root in folder.parents for root in roots))
    return Protected(roots=roots, fixed=fixed, read_only=(*git, *own_code), hidden=rules.hidden)
