"""Models, enums and other types that the hand-made annotations use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Literal, NamedTuple, NewType

from pydantic import BaseModel, ConfigDict


class Open(BaseModel):
    """A model with pydantic's own setting for unknown keys."""

    name: str
    limit: int = 1000


class Welcoming(BaseModel):
    """A model whose author wants unknown keys."""

    model_config = ConfigDict(extra="allow")
    name: str


class Outer(BaseModel):
    """A model in a model."""

    inner: Open
    many: list[Open] = []


class Tree(BaseModel):
    """A recursive model."""

    value: int
    children: list[Tree] = []


class Cat(BaseModel):
    """One branch of a union."""

    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    """The other branch."""

    kind: Literal["dog"]
    name: str


@dataclass
class Point:
    """A dataclass."""

    x: int
    y: int = 0


class Pair(NamedTuple):
    """A named tuple."""

    first: int
    second: str


class Color(Enum):
    """Words."""

    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    """Numbers."""

    LOW = 1
    HIGH = 2


UserId = NewType("UserId", int)
