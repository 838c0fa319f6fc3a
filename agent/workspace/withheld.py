"""Find the files of a workspace whose content no snapshot may hold, because it is secret; copies nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ..sandbox.beneath import open_regular
from ..tooling.secret_forms import long_values, plain_forms
from .tree import Entry, is_large


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretFiles:
    """What is secret in a workspace."""

    paths: frozenset[str] = frozenset()
    """Files, relative to the workspace."""
    values: tuple[bytes, ...] = ()
    """A file that contains one of these is secret too."""

    def include(self, root: Path, path: str, entry: Entry) -> bool:
        """Return whether the content of a file is secret.

        Raises:
            OSError: it cannot be read.
        """
        if entry.kind != "file" or path in self.paths:
            return entry.kind == "file"
        if not self.values or is_large(entry):
            return False
        with open_regular(root, path) as file:
            content = file.read(entry.size_bytes)
        return any(value in content for value in self.values)


def secret_files(
    project: Path, task: Mapping[str, object], secrets: Mapping[str, str]
) -> SecretFiles:  # fmt: skip
    """Return what is secret in the folder of a run.

    Args:
        project: the folder that the run was given, also if it works in a copy of it.
        task: the record of the run's task. Empty if it has none.
        secrets: values of the run by name. Short and ordinary ones, such as a local database's password, occur in many
            files, so only those that look like a token make a file secret.
    """
    top, directory = project.resolve(), Path(str(task.get("directory", ".")))
    named = [(directory / name).resolve() for name in cast("Sequence[str]", task.get("secret_files", ()))]
    paths = frozenset(str(path.relative_to(top)) for path in named if path.is_relative_to(top))
    tokens = long_values(tuple(secrets.items())).named
    return SecretFiles(
        paths=paths, values=tuple(form.encode("utf-8", "replace") for _, form in plain_forms(tokens).named)
    )


def record_withheld(tree: Path, paths: Iterable[str]) -> None:
    """Record, beside a snapshot, the files whose content it does not hold.

    Raises:
        OSError: it cannot be written.
    """
    if names := sorted(paths):
        _record(tree).write_text(json.dumps(names), encoding="ascii")


def withheld(tree: Path) -> frozenset[str]:
    """Return the files whose content a snapshot does not hold, because it is secret."""
    with suppress(OSError, ValueError):
        return frozenset(cast("list[str]", json.loads(_record(tree).read_text(encoding="ascii"))))
    return frozenset()


def _record(tree: Path) -> Path:
    return tree.with_name(f"{tree.name}.withheld.json")
