"""Load the hand-made schemas, each with calls that must be accepted as they are and calls that must be refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from calls.values import Json


@dataclass(frozen=True, kw_only=True)
class HandMade:
    """One schema and what must become of it."""

    name: str
    schema: Json
    good: tuple[str, ...]
    """Arguments that must be accepted as they are."""
    bad: tuple[str, ...]
    """Arguments that must be refused."""
    becomes: tuple[Literal["tool", "noted tool", "refused"], ...]
    """What it may become. `noted tool`: a note says what is not checked, or what can never fit."""


def _load(entry: dict[str, Any]) -> HandMade:
    lists = {key: tuple(entry.get(key, default)) for key, default in (("good", ()), ("bad", ()), ("becomes", ["tool"]))}
    return HandMade(name=entry["name"], schema=entry["schema"], **lists)


SCHEMAS = tuple(map(_load, yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))))
