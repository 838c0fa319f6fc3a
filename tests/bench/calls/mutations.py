"""Damage true calls in the ways models do; each mutation knows what was meant, and whether anything may be executed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from calls.judging import Case
from calls.text_mutations import Text, text_mutations
from calls.values import Json, NotJson, Path, at, exact, leaves, obeys, replaced, schema_at, text_of, without


@dataclass(frozen=True, kw_only=True)
class True_:
    """A true call of a tool, which obeys its schema."""

    name: str
    """The tool's name."""
    own_name: str
    """The function's name before it was made legal."""
    arguments: Json
    schema: Json
    """Closed in every object that names its properties."""
    typed: bool
    """True if the tool is typed: an optional parameter is then `T | None`, so null is legal there."""


def mutations(call: True_, rng: Random) -> Iterator[Case]:
    """Yield every mutation that the call allows, a few of them at places that `rng` chooses."""
    yield from _types(call, rng)
    yield from _required_and_unknown(call, rng)
    yield from _enums(call, rng)
    yield from _names(call)
    yield from text_mutations(Text(name=call.name, value=call.arguments, text=text_of(call.arguments)), rng)
    yield from _one_character(call, rng)


def judged_by_schema(call: True_, kind: str, value: Json, meant: Json | None, *, plain: bool = True) -> Case:
    """Return the case of another value: executed as it is if it is legal, else only as what was meant."""
    text = text_of(value)
    if obeys(value, call.schema):
        return Case(kind=f"{kind} (legal)", arguments=text, right=(exact(text),), plain=True)
    right = () if meant is None else (meant,)
    return Case(kind=kind, arguments=text, right=right, plain=plain and meant is not None)


def _types(call: True_, rng: Random) -> Iterator[Case]:
    arguments = call.arguments
    places = leaves(arguments)
    for path in rng.sample(places, min(3, len(places))):
        value = at(arguments, path)
        if path and not isinstance(value, (dict, list)):
            for kind, sent, meant_same, plain in _retyped(value, schema_at(call.schema, path), rng):
                changed = replaced(arguments, path, sent)
                yield judged_by_schema(call, f"type: {kind}", changed, arguments if meant_same else None, plain=plain)
            yield _null(call, path)
    for key, value in arguments.items():
        if isinstance(value, (list, dict)):
            kind = "array" if isinstance(value, list) else "object"
            yield judged_by_schema(
                call, f"type: {kind} as JSON text", replaced(arguments, (key,), text_of(value)), arguments
            )
            yield judged_by_schema(
                call, f"type: {kind} as Python text", replaced(arguments, (key,), repr(value)), arguments, plain=False
            )
            yield judged_by_schema(call, f"type: {kind} as number", replaced(arguments, (key,), 5), None)
        if isinstance(value, list) and len(value) == 1:
            yield judged_by_schema(
                call,
                "type: array of one without its brackets",
                replaced(arguments, (key,), value[0]),
                arguments,
                plain=False,
            )
            if value[0] is not None:
                yield judged_by_schema(
                    call, "type: array as comma text", replaced(arguments, (key,), f"{value[0]}, other"), None
                )


def _retyped(value: Json, schema: Json, rng: Random) -> Iterator[tuple[str, Json, bool, bool]]:
    """Yield kind, what is sent, whether that means the same value, and whether that is plain."""
    if isinstance(value, bool):
        yield "boolean as text", str(value).lower(), True, True
        yield "boolean as Python text", str(value), True, True
        yield "boolean as 0 or 1", int(value), False, False
        yield "boolean as yes or no", "yes" if value else "no", False, False
        yield "boolean as on or off", "on" if value else "off", False, False
    elif isinstance(value, (int, Decimal)):
        yield "number as text", str(value), True, True
        yield "number as text with blanks", f" {value} ", True, False
        yield "number as text with a unit", f"{value} km", False, False
        yield "number as text with a group comma", f"{rng.randrange(1, 9)},{rng.randrange(100, 999)}", False, False
        yield "number as a word", "five", False, False
        yield "number as boolean", rng.random() < 0.5, False, False
        if isinstance(value, int):
            yield "integer as 5.0", Decimal(f"{value}.0"), True, True
            yield "integer with a fraction", Decimal(f"{value}.5"), False, False
            yield "integer as text with .0", f"{value}.0", True, False
    elif isinstance(value, str):
        sent = rng.choice((12345, Decimal("1.50"), Decimal("-0.0"), Decimal("1E+3"), 9007199254740993))
        yield "text as boolean", True, False, False
        yield "text as object", {"value": value}, False, False
        yield "text as array", [value], False, False
        if "enum" in schema:
            yield "enum word as number", sent, False, False


def _null(call: True_, path: Path) -> Case:
    arguments = call.arguments
    changed = replaced(arguments, path, None)
    if obeys(changed, call.schema):
        return judged_by_schema(call, "null", changed, None)
    parent = schema_at(call.schema, path[:-1])
    known = path[-1] in parent.get("properties", {}) and path[-1] not in parent.get("required", ())
    if not known:
        return Case(kind="null where a value is required", arguments=text_of(changed))
    right = (without(arguments, path), *((changed,) if call.typed else ()))
    return Case(kind="null for an optional parameter", arguments=text_of(changed), right=right, plain=True)


def _required_and_unknown(call: True_, rng: Random) -> Iterator[Case]:
    arguments = call.arguments
    for path in _objects(arguments):
        schema = schema_at(call.schema, path)
        place = "nested " if path else ""
        required = [key for key in schema.get("required", ()) if key in at(arguments, path)]
        for key in rng.sample(required, min(2, len(required))):
            yield Case(kind=f"{place}required key missing", arguments=text_of(without(arguments, (*path, key))))
        inner = at(arguments, path)
        for key, value in (("verbose", True), ("limti", 5), ("note", "x"), ("extra", {"a": [1]})):
            sent = replaced(arguments, path, {**inner, key: value})
            yield judged_by_schema(call, f"{place}unknown key", sent, None)
        if inner:
            key = rng.choice(list(inner))
            renamed = {_misspelt(old, rng) if old == key else old: value for old, value in inner.items()}
            yield judged_by_schema(
                call, f"{place}key misspelt", replaced(arguments, path, renamed), arguments, plain=False
            )
        sent = replaced(arguments, path, {**inner, "unknown": None})
        yield judged_by_schema(call, f"{place}unknown key with null", sent, arguments, plain=False)


def _objects(value: Json, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict):
        yield path
        for key, item in value.items():
            yield from _objects(item, (*path, key))
    elif isinstance(value, list) and value:
        yield from _objects(value[0], (*path, 0))


def _misspelt(word: str, rng: Random) -> str:
    if len(word) < 4:
        return f"{word}s"
    index = rng.randrange(1, len(word) - 1)
    return word[:index] + word[index + 1 :]


def _enums(call: True_, rng: Random) -> Iterator[Case]:
    arguments = call.arguments
    for path in leaves(arguments):
        value, choices = at(arguments, path), schema_at(call.schema, path).get("enum") if path else None
        if not isinstance(value, str) or not isinstance(choices, list) or value not in choices:
            continue
        folded = [str(choice).strip().casefold() for choice in choices]
        alone = folded.count(value.strip().casefold()) == 1
        for kind, sent in (
            ("other case", value.swapcase()),
            ("blanks", f" {value} "),
            ("a line break", f"{value}\n"),
        ):
            if sent.strip().casefold() == value.strip().casefold():
                case = judged_by_schema(call, f"enum: {kind}", replaced(arguments, path, sent), arguments, plain=alone)
                yield case if alone or case.kind.endswith("(legal)") else Case(kind=case.kind, arguments=case.arguments)
        yield judged_by_schema(call, "enum: quoted", replaced(arguments, path, f'"{value}"'), arguments, plain=False)
        for kind, sent in (("unknown word", "no such choice"), ("empty", ""), ("beginning", value[:-1])):
            yield judged_by_schema(call, f"enum: {kind}", replaced(arguments, path, sent), None)
        number = replaced(arguments, path, rng.randrange(100))
        yield judged_by_schema(call, "enum: number", number, None)


def _names(call: True_) -> Iterator[Case]:
    text, right = text_of(call.arguments), (call.arguments,)
    same = (
        ("blanks", f" {call.name}\n"),
        ("functions. before", f"functions.{call.name}"),
        ("tool: before", f"tools:{call.name}"),
        ("other case", call.name.upper()),
        ("dashes for underscores", call.name.replace("_", "-")),
    )
    for kind, name in same:
        if name != call.name:
            yield Case(kind=f"name: {kind}", arguments=text, name=name, right=right, plain=True)
    if call.own_name != call.name:
        yield Case(kind="name: with its own dots", arguments=text, name=call.own_name, right=right, plain=True)
    for kind, name in (
        ("letter missing", call.name[:-1]),
        ("letter added", f"{call.name}x"),
        ("another verb", f"undo_{call.name}"),
        ("empty", ""),
        ("called in the name", f"{call.name}({text})"),
    ):
        yield Case(kind=f"name: {kind}", arguments=text, name=name)


def _one_character(call: True_, rng: Random) -> Iterator[Case]:
    """Yield texts with one character lost, added or changed; what is legal then says something else by itself."""
    text = text_of(call.arguments)
    for _ in range(6):
        index = rng.randrange(1, len(text))
        letter = rng.choice("\"'{}[]:,\\x0 5\n.-")
        changed = rng.choice(
            (
                text[:index] + text[index + 1 :],
                text[:index] + letter + text[index:],
                text[:index] + letter + text[index + 1 :],
            )
        )
        if changed == text:
            continue
        kind = "one character changed"
        try:
            value = exact(changed)
        except NotJson:
            yield Case(kind=kind, arguments=changed, right=(call.arguments,), readings=True)
            continue
        if isinstance(value, dict) and obeys(value, call.schema):
            yield Case(kind=f"{kind} (legal)", arguments=changed, right=(value,), plain=True)
        else:
            yield Case(kind=kind, arguments=changed, right=(call.arguments,), readings=True)
