"""Annotations of typed tools with what is sent and what must arrive."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

from calls.handmade_models import Cat, Color, Dog, Level, Open, Outer, Pair, Point, Tree, UserId, Welcoming
from pydantic import Field, JsonValue

REFUSED = object()
"""Nothing may be executed."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One value as JSON text and what must arrive; several if the product may choose."""

    text: str
    arrives: tuple[object, ...]


@dataclass(frozen=True, kw_only=True)
class Typed:
    """An annotation and what is sent for it."""

    name: str
    annotation: Any
    sent: tuple[Sent, ...]


def exactly(text: str, *arrives: object) -> Sent:
    """Return a value that must arrive as one of these."""
    return Sent(text=text, arrives=arrives)


def refused(*texts: str) -> tuple[Sent, ...]:
    """Return values that must be refused."""
    return tuple(Sent(text=text, arrives=(REFUSED,)) for text in texts)


_BIG = 9007199254740993

TYPES = (
    Typed(name="str", annotation=str, sent=(
        exactly('"x"', "x"), exactly("12", "12"), exactly("1.50", "1.50"), exactly("-0.0", "-0.0", REFUSED),
        exactly("-0", "-0", REFUSED), exactly("1e3", "1e3", REFUSED), exactly(str(_BIG), str(_BIG)),
        exactly("+4915112345678", "+4915112345678", REFUSED), exactly("0x1F", "0x1F", REFUSED),
        exactly("1_000", "1_000", REFUSED), exactly('"\\ud83d\\ude42"', "🙂"),
        exactly("12345678901234567.89", "12345678901234567.89"),
        *refused("true", "null", "[]", "{}", "007", "1,000", "١٢"),
    )),
    Typed(name="int", annotation=int, sent=(
        exactly("5", 5), exactly(str(_BIG), _BIG), exactly("5.0", 5), exactly("1e3", 1000), exactly('"5"', 5),
        exactly("-0", 0), exactly(f"{_BIG}.0", _BIG, REFUSED), exactly("+5", 5, REFUSED),
        exactly("0x1F", 31, REFUSED), exactly("1_000", 1000, REFUSED), exactly('"+5"', 5, REFUSED),
        exactly('"0x1F"', 31, REFUSED), exactly("1" + "0" * 30, 10**30),
        *refused(
            "true", "null", "5.5", "5.0000000000000001", '"5.5"', '"five"', '"1,000"', '"٣"', "٣", "007", '""',
            "1e-400", "[5]",
        ),
    )),
    Typed(name="float", annotation=float, sent=(
        exactly("0.1", 0.1), exactly("5", 5.0), exactly('"0.5"', 0.5), exactly("1e300", 1e300),
        *refused(
            str(_BIG), f"{_BIG}.0", f'"{_BIG}"', "12345678901234567", "1e400", "NaN", "Infinity", '"NaN"', '"inf"',
            "1" + "0" * 400, "true", '"1,5"',
        ),
    )),
    Typed(name="bool", annotation=bool, sent=(
        exactly("true", True), exactly('"true"', True), exactly("False", False, REFUSED),
        *refused("1", "0", '"yes"', '"1"', "null", '"on"', "1.0"),
    )),
    Typed(name="Decimal", annotation=Decimal, sent=(
        exactly("12345678901234567.89", Decimal("12345678901234567.89"), REFUSED),
        exactly('"12345678901234567.89"', Decimal("12345678901234567.89")), exactly("0.1", Decimal("0.1")),
        exactly("1.50", Decimal("1.50")), exactly("5", Decimal(5)), exactly('"1e400"', Decimal("1e400"), REFUSED),
        exactly(f"{_BIG}.0", Decimal(_BIG), REFUSED), exactly(str(_BIG), Decimal(_BIG)),
        *refused("true", '"x"', "NaN", '"NaN"', '"1,5"'),
    )),
    Typed(name="datetime", annotation=datetime, sent=(
        exactly('"2026-11-28T12:30:00Z"', datetime(2026, 11, 28, 12, 30, tzinfo=UTC)),
        exactly('"2026-11-28T12:30:00"', datetime.fromisoformat("2026-11-28T12:30:00")),
        *refused(
            '"2026"', '"20261128"', '"2026-11"', "2026", "1700000000", "1700000000.5", '"1700000000"', '"-1"',
            '"1e9"', '"tomorrow"', '"12:30"', "true",
        ),
    )),
    Typed(name="date", annotation=date, sent=(
        exactly('"2026-11-28"', date(2026, 11, 28)),
        *refused(
            '"2026"', '"20261128"', "20261128", "0", '"0"', '"2026-11-31"', '"2026-11-28T12:00:00Z"',
            '"28.11.2026"',
        ),
    )),
    Typed(name="time", annotation=time, sent=(
        exactly('"12:30:00"', time(12, 30)),
        *refused("45000", '"45000"', "0", '"0"', '"25:00:00"', '"noon"'),
    )),
    Typed(name="timedelta", annotation=timedelta, sent=(
        exactly('"PT1H"', timedelta(hours=1)), exactly('"P1D"', timedelta(days=1)),
        *refused('"soon"', "true"),
    )),
    Typed(name="UUID", annotation=UUID, sent=(
        exactly('"00000000-0000-4000-8000-000000000001"', UUID("00000000-0000-4000-8000-000000000001")),
        *refused('"x"', "1"),
    )),
    Typed(name="Path", annotation=Path, sent=(exactly('"a/b"', Path("a/b")), *refused("[]", "true"))),
    Typed(name="list[Path]", annotation=list[Path], sent=(exactly('["a"]', [Path("a")]), *refused("[null]"))),
    Typed(name="bytes", annotation=bytes, sent=(exactly('"abc"', b"abc"), *refused("[]"))),
    Typed(name="set[int]", annotation=set[int], sent=(exactly("[1, 2]", {1, 2}), *refused('["x"]'))),
    Typed(name="frozenset[str]", annotation=frozenset[str], sent=(exactly('["a"]', frozenset({"a"})),)),
    Typed(name="re.Pattern", annotation=re.Pattern[str], sent=(
        exactly('"a+"', re.compile("a+")),
        *refused('"(a"'),
    )),
    Typed(name="Fraction", annotation=Fraction, sent=(exactly('"1/3"', Fraction(1, 3)), *refused('"x"'))),
    Typed(name="IPv4Address", annotation=IPv4Address, sent=(
        exactly('"10.0.0.1"', IPv4Address("10.0.0.1")),
        *refused('"10.0.0"'),
    )),
    Typed(name="IPv4Network", annotation=IPv4Network, sent=(
        exactly('"10.0.0.0/8"', IPv4Network("10.0.0.0/8")),
        *refused('"x"'),
    )),
    Typed(name="Literal", annotation=Literal["read", "write"], sent=(
        exactly('"read"', "read"), exactly('"READ"', "read"), exactly('" read "', "read"),
        *refused('"reads"', "null", "1"),
    )),
    Typed(name="Literal of numbers", annotation=Literal[1, 2], sent=(
        exactly("1", 1), exactly('"1"', 1, REFUSED),
        *refused("true", "3", "1.5"),
    )),
    Typed(name="Enum", annotation=Color, sent=(
        exactly('"red"', Color.RED), exactly('"RED"', Color.RED),
        *refused('"green"'),
    )),
    Typed(name="IntEnum", annotation=Level, sent=(exactly("1", Level.LOW), *refused("3", "true"))),
    Typed(name="int | None", annotation=int | None, sent=(
        exactly("null", None), exactly("5", 5), exactly('"5"', 5),
        *refused('"x"'),
    )),
    Typed(name="int | str", annotation=int | str, sent=(
        exactly("5", 5), exactly('"5"', "5"), exactly("5.5", "5.5", REFUSED),
        *refused("null"),
    )),
    Typed(name="str | None", annotation=str | None, sent=(exactly('"null"', "null"), exactly("null", None))),
    Typed(name="list[str]", annotation=list[str], sent=(
        exactly('["a"]', ["a"]), exactly("[1]", ["1"]), exactly('"[\\"a\\"]"', ["a"]),
        *refused('"a"', "[null]", '"a, b"'),
    )),
    Typed(name="list[int]", annotation=list[int], sent=(
        exactly('["1", 2.0]', [1, 2]),
        *refused("[5.5]", "[null]", "[true]", f"[{_BIG}.5]"),
    )),
    Typed(name="tuple[int, str]", annotation=tuple[int, str], sent=(
        exactly('[1, "x"]', (1, "x")),
        *refused("[1]", '[1, "x", 2]'),
    )),
    Typed(name="dict[str, int]", annotation=dict[str, int], sent=(
        exactly('{"a": 1}', {"a": 1}), exactly('{"a": "1"}', {"a": 1}),
        *refused('{"a": null}', '{"a": 1.5}'),
    )),
    Typed(name="dict[str, str]", annotation=dict[str, str], sent=(
        exactly('{"A": "b"}', {"A": "b"}), exactly('{"A": 1.10}', {"A": "1.10"}),
        *refused('{"PATH": null, "A": "b"}', '{"A": {}}'),
    )),
    Typed(name="dict[str, str | None]", annotation=dict[str, str | None], sent=(
        exactly('{"A": null}', {"A": None}),
    )),
    Typed(name="dict[int, str]", annotation=dict[int, str], sent=(
        exactly('{"1": "a"}', {1: "a"}),
        *refused('{"x": "a"}'),
    )),
    Typed(name="dict[str, list[str]]", annotation=dict[str, list[str]], sent=(
        exactly('{"a": ["b"]}', {"a": ["b"]}),
        *refused('{"a": [null]}', '{"a": null}'),
    )),
    Typed(name="JsonValue", annotation=JsonValue, sent=(
        exactly('{"a": [1, null]}', {"a": [1, None]}), exactly('"5"', "5"), exactly(str(_BIG), _BIG),
    )),
    Typed(name="Any", annotation=Any, sent=(exactly('{"a": null}', {"a": None}), exactly("true", True))),
    Typed(name="model", annotation=Open, sent=(
        exactly('{"name": "x"}', Open(name="x")), exactly('{"name": "x", "limit": null}', Open(name="x"), REFUSED),
        *refused('{"name": "x", "limti": 5}', '{"name": "x", "limti": null}', "{}", '{"name": "x", "limit": 1.5}'),
    )),
    Typed(name="model | None", annotation=Open | None, sent=(
        exactly("null", None),
        *refused('{"name": "x", "limti": 5}'),
    )),
    Typed(name="list[model]", annotation=list[Open], sent=(
        exactly('[{"name": "x"}]', [Open(name="x")]),
        *refused('[{"name": "x", "limti": 5}]'),
    )),
    Typed(name="dict[str, model]", annotation=dict[str, Open], sent=(
        exactly('{"k": {"name": "x"}}', {"k": Open(name="x")}),
        *refused('{"k": {"name": "x", "limti": 5}}'),
    )),
    Typed(name="model in a model", annotation=Outer, sent=(
        exactly('{"inner": {"name": "x"}}', Outer(inner=Open(name="x"))),
        *refused(
            '{"inner": {"name": "x", "limti": 5}}', '{"inner": {"name": "x"}, "many": [{"name": "x", "limti": 5}]}',
        ),
    )),
    Typed(name="recursive model", annotation=Tree, sent=(
        exactly('{"value": 1, "children": [{"value": 2}]}', Tree(value=1, children=[Tree(value=2)])),
        *refused('{"value": 1, "children": [{"value": 2, "childs": []}]}'),
    )),
    Typed(name="model that allows more", annotation=Welcoming, sent=(
        exactly('{"name": "x", "more": 1}', Welcoming.model_validate({"name": "x", "more": 1})),
    )),
    Typed(name="union of models", annotation=Cat | Dog, sent=(
        exactly('{"kind": "cat", "lives": 9}', Cat(kind="cat", lives=9)),
        *refused('{"kind": "cat", "lives": 9, "name": "x"}', '{"kind": "cow"}', '{"kind": "dog"}'),
    )),
    Typed(name="discriminated union", annotation=Annotated[Cat | Dog, Field(discriminator="kind")], sent=(
        exactly('{"kind": "dog", "name": "x"}', Dog(kind="dog", name="x")),
        *refused('{"kind": "dog", "name": "x", "lives": 1}', '{"kind": "cow"}'),
    )),
    Typed(name="dataclass", annotation=Point, sent=(
        exactly('{"x": 1}', Point(1)),
        *refused('{"x": 1, "z": 2}', '{"y": 1}'),
    )),
    Typed(name="NamedTuple", annotation=Pair, sent=(exactly('[1, "x"]', Pair(1, "x")), *refused("[1]"))),
    Typed(name="NewType", annotation=UserId, sent=(exactly("5", 5), *refused('"x"'))),
    Typed(name="bounded int", annotation=Annotated[int, Field(ge=1, le=50)], sent=(
        exactly("50", 50),
        *refused("0", "51", '"51"'),
    )),
    Typed(name="pattern", annotation=Annotated[str, Field(pattern="^a+$")], sent=(
        exactly('"aa"', "aa"),
        *refused('"b"', '"aa\\n"'),
    )),
    Typed(name="multiple of a cent", annotation=Annotated[Decimal, Field(multiple_of=Decimal("0.01"))], sent=(
        exactly("19.99", Decimal("19.99")),
        *refused("19.999"),
    )),
)  # fmt: skip
