"""Find the folders that this process imports its own code from; no command and no tool may change them in a run.

What is imported only later in a run, and what the next start of `agent` runs, would otherwise be the model's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from ..errors import ConfigError

_PACKAGES = ("agent", "tools", "serving")
_INSTALLED = frozenset({"site-packages", "dist-packages"})


@cache
def own_code() -> tuple[Path, ...]:
    """Return the real paths of the virtual environment, of the installed packages, and of this project's packages."""
    source = Path(__file__).resolve().parents[2]
    found = [source / name for name in _PACKAGES]
    found += [Path(entry).resolve() for entry in sys.path if Path(entry).name in _INSTALLED]
    if sys.prefix != sys.base_prefix:
        found.append(Path(sys.prefix).resolve())
    existing = dict.fromkeys(path for path in found if path.is_dir())
    return tuple(path for path in existing if not any(other in path.parents for other in existing))


def own_code_in(folders: Iterable[Path]) -> tuple[Path, ...]:
    """Return the folders of `own_code` that lie in folders which commands may change."""
    roots = [folder.resolve() for folder in folders]
    return tuple(path for path in own_code() if any(root in path.parents for root in roots))


def check_not_own_code(folder: Path) -> None:
    """Check that a folder which a run may change is not one that this process runs from.

    Raises:
        ConfigError: it is.
    """
    real = folder.resolve()
    if own := next((path for path in own_code() if real.is_relative_to(path)), None):
        msg = (
            f"A run cannot change {str(folder)!r}: agent itself runs from {str(own)!r}. Let it work in a copy, with "
            "workspace: {path: ..., copy: true}, or workspace_mode='copy' of an Agent, or install tramontane elsewhere."
        )
        raise ConfigError(msg, key="workspace")


@cache
def own_code_identities() -> frozenset[tuple[int, int]]:
    """Return device and inode of each folder of `own_code`, by which an open folder is recognized."""
    return frozenset((facts.st_dev, facts.st_ino) for facts in (path.stat() for path in own_code()))
