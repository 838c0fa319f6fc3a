"""Compile schemas with the grammar back-ends of the installed CPU engine, if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from calls.values import Json
from compile_grammars import Job, compile_schemas

from serving.directories import cache_dir

BackEnd = Literal["guidance fails", "xgrammar fails"]
BACK_ENDS: tuple[BackEnd, ...] = ("guidance fails", "xgrammar fails")
Compiled = dict[BackEnd, str]
"""Why a schema does not compile, by back-end; an empty text if it does. Empty if no engine is installed."""


def engine_python() -> Path | None:
    """Return the Python of the newest installed CPU engine; None if there is none."""
    found = sorted(cache_dir().glob("engine-cpu-*/bin/python"))
    return found[-1] if found else None


def compile_all(schemas: Sequence[Json]) -> list[Compiled]:
    """Return what each back-end says to each schema, in the same order."""
    python = engine_python()
    if python is None or not schemas:
        return [{} for _ in schemas]
    jobs: list[Job] = [{"schema": schema} for schema in schemas]
    return [
        {"guidance fails": one.guidance, "xgrammar fails": one.xgrammar} for one in compile_schemas(jobs, python=python)
    ]
