"""Download pinned packages with pip into the user's cache and check their hashes; installs nothing."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.directories import cache_dir


@dataclass(frozen=True, kw_only=True)
class Package:
    """One file of the Python Package Index."""

    requirement: str
    """Name and exact version."""
    filename: str
    sha256: str
    options: Sequence[str]
    """For `pip download`: whether the wheel or the source archive is wanted."""


BFCL = Package(
    requirement="bfcl-eval==2026.3.23",
    filename="bfcl_eval-2026.3.23-py3-none-any.whl",
    sha256="3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
    options=("--only-binary", ":all:"),
)
"""The Berkeley Function Calling Leaderboard; only its data is read."""
JSONSCHEMA = Package(
    requirement="jsonschema==4.26.0",
    filename="jsonschema-4.26.0.tar.gz",
    sha256="0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326",
    options=("--no-binary", ":all:"),
)
"""Its source archive contains the JSON Schema test suite in the folder `json`."""


def cache() -> Path:
    """Return the folder of everything that this bench downloads; creates it."""
    folder = cache_dir() / "bench-calls"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def downloaded(package: Package) -> Path:
    """Return the package's file, downloaded if it is not in the cache.

    Raises:
        RuntimeError: its hash is not the pinned one.
        subprocess.CalledProcessError: pip cannot download it.
    """
    path = cache() / package.filename
    if not path.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        # Without isolation pip would first build the source archive's metadata in a fresh environment.
        command += [*package.options, "--dest", str(path.parent), package.requirement]
        subprocess.run(command, check=True)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        msg = f"{path} has the SHA-256 {found}, expected {package.sha256}. Delete it and run the bench again."
        raise RuntimeError(msg)
    return path
