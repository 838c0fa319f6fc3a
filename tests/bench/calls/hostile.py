"""Put hostile values in place of a true call's arguments, each with what it may mean there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, InvalidOperation
from functools import partial
from random import Random

from calls.hostile_values import (
    BAD_KEYS,
    DEEP,
    NO_NUMBERS,
    NUMBERS,
    NUMERIC_TEXTS,
    OTHER_NUMBERS,
    QUOTED,
    RAW_STRINGS,
    TEXTS,
)
from calls.judging import Case
from calls.mutations import True_
from calls.values import Json, NotJson, exact, obeys, replaced, schema_at, text_of, without

_MARK = "\u2402put here\u2403"


Maker = Callable[[], Iterable[Case]]
"""Makes the cases of one value; the chosen ones only, since making all of them costs more than checking a few."""


def hostile(call: True_, rng: Random, *, values: int) -> Iterator[Case]:
    """Yield the cases of some hostile values in the first parameter of each kind, of keys, and of texts around them."""
    makers = list(_makers(call))
    for maker in rng.sample(makers, min(values, len(makers))):
        yield from maker()


def _makers(call: True_) -> Iterator[Maker]:
    seen: set[str] = set()
    for key in call.arguments:
        schema = schema_at(call.schema, (key,))
        kind = "enum" if "enum" in schema else str(schema.get("type"))
        if kind not in seen:
            seen.add(kind)
            yield from _numbers(call, key, kind)
            yield from _texts(call, key, kind)
            if kind == "string":
                yield from _raw_strings(call, key)
    for key in BAD_KEYS:
        yield partial(_bad_key, call, key)
    for text in DEEP:
        yield partial(_deep, text)
    yield partial(_maps, call)


def _numbers(call: True_, key: str, kind: str) -> Iterator[Maker]:
    for token in NUMBERS:
        yield partial(_placed, call, key, f"number for {kind}", token)
    for token in OTHER_NUMBERS:
        yield partial(_other_number, call, key, kind, token)
    for token in NO_NUMBERS:
        yield partial(_nothing, call, key, f"no number for {kind}", token)


def _nothing(call: True_, key: str, kind: str, token: str) -> Iterator[Case]:
    yield Case(kind=kind, arguments=_with(call, key, token))


def _other_number(call: True_, key: str, kind: str, token: str) -> Iterator[Case]:
    """Yield a number that JSON does not know: the number where one is wanted, its spelling where a text is."""
    wanted = schema_at(call.schema, (key,)).get("type")
    meant = token if wanted == "string" else OTHER_NUMBERS[token]
    right = replaced(call.arguments, (key,), meant)
    for text in _around(call, key, token):
        yield Case(kind=f"odd number for {kind}", arguments=text, right=(right,) if obeys(right, call.schema) else ())


def _around(call: True_, key: str, token: str) -> Iterator[str]:
    """Yield the text with a number, alone and beside each repair that rewrites the text."""
    text = _with(call, key, token)
    yield text
    yield f"{text[:-1]},}}"
    yield f"```json\n{text}\n```"
    yield f"{text[:-1]} /* x */}}"
    yield json.dumps(text)


def _texts(call: True_, key: str, kind: str) -> Iterator[Maker]:
    for text in (*NUMERIC_TEXTS, "true", "True", "TRUE", "false", "yes", "on", "1", "null", "[]", "{}", "[1]"):
        yield partial(_placed, call, key, f"text for {kind}", json.dumps(text))
    for token in ("true", "false", "null", "[]", "{}", "[null]", '{"a": null}'):
        yield partial(_placed, call, key, f"{token} for {kind}", token)


def _placed(call: True_, key: str, kind: str, token: str) -> Iterator[Case]:
    """Yield the case of a JSON token: what it says if that is legal, else what it can mean without loss."""
    text = _with(call, key, token)
    try:
        value = exact(text)
    except NotJson:
        yield Case(kind=kind, arguments=text)
        return
    schema = schema_at(call.schema, (key,))
    texts = (text,) if not re.fullmatch(r"-?\d.*", token) else tuple(_around(call, key, token))
    if obeys(value, call.schema):
        moderate = not isinstance(value[key], (int, Decimal)) or _is_moderate(value[key])
        for one in texts:
            yield Case(kind=f"{kind} (legal)", arguments=one, right=(value,), plain=moderate and one == text)
        return
    right = [replaced(call.arguments, (key,), meant) for meant in lossless(value[key], token, schema)]
    right = [one for one in right if obeys(one, call.schema)]
    if value[key] is None and key not in call.schema.get("required", ()):
        right += [without(call.arguments, (key,)), *([value] if call.typed else [])]
    for one in texts:
        yield Case(kind=kind, arguments=one, right=tuple(right))


def _is_moderate(value: int | Decimal) -> bool:
    """Return whether a float holds the number exactly as it is spelt."""
    return abs(value) < 2**53 and Decimal(repr(float(value))) == value


def lossless(value: Json, token: str, schema: Json) -> Iterator[Json]:
    """Yield what a value of the wrong type can mean without any loss. `token`: its spelling."""
    kind = str(schema.get("type"))
    spelt = value if isinstance(value, str) else token
    if "enum" in schema and not isinstance(value, (bool, type(None), list, dict)):
        words = [one for one in schema["enum"] if isinstance(one, str) and _folded(one) == _folded(spelt)]
        if len(words) == 1:
            yield words[0]
            return
    if isinstance(value, str):
        yield from _lossless_text(value, kind, schema)
    elif kind == "string" and isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        yield token


def _folded(text: str) -> str:
    return text.strip().casefold()


def _lossless_text(value: str, kind: str, schema: Json) -> Iterator[Json]:
    plain = value.strip()
    if kind in {"integer", "number"} and plain.isascii():
        yield from _number(plain, kind)
    elif kind == "boolean" and plain.lower() in {"true", "false"}:
        yield plain.lower() == "true"
    elif kind in {"array", "object"}:
        try:
            inner = exact(value)
        except NotJson:
            return
        yield inner
        if isinstance(inner, list) and schema.get("items", {}).get("type") == "string":
            yield [text_of(one) if isinstance(one, (int, Decimal)) else one for one in inner]


def _number(plain: str, kind: str) -> Iterator[Json]:
    if re.fullmatch(r"[+-]?0[xX][0-9a-fA-F]+", plain):
        yield int(plain, 16)
    elif re.fullmatch(r"[+-]?(0|[1-9][\d_]*)(\.\d+)?([eE][+-]?\d{1,3})?", plain):
        try:
            number = Decimal(plain.replace("_", ""))
        except InvalidOperation:
            return
        if number == number.to_integral_value() and abs(number.adjusted()) < 400:
            yield int(number)
        elif kind == "number":
            yield number


def _raw_strings(call: True_, key: str) -> Iterator[Maker]:
    for text in TEXTS:
        yield partial(_placed, call, key, "text for text", json.dumps(text))
        yield partial(_placed, call, key, "text for text", json.dumps(text, ensure_ascii=False))
    for token in RAW_STRINGS:
        yield partial(_raw_string, call, key, token)
    for text in QUOTED:
        yield partial(_quoted, call, key, text)


def _raw_string(call: True_, key: str, token: str) -> Iterator[Case]:
    right = tuple(replaced(call.arguments, (key,), one) for one in RAW_STRINGS[token])
    if token == "None" and key not in call.schema.get("required", ()):
        right = (without(call.arguments, (key,)), replaced(call.arguments, (key,), None))
    yield Case(kind="text as written", arguments=_with(call, key, token), right=right)


def _quoted(call: True_, key: str, text: str) -> Iterator[Case]:
    sent = _with(call, key, f'"{text}"')
    right = [replaced(call.arguments, (key,), text)]
    try:
        value = exact(sent)
        right = [value] if isinstance(value, dict) and obeys(value, call.schema) else []
    except NotJson:
        pass
    yield Case(kind="quotes not escaped", arguments=sent, right=tuple(right))


def _bad_key(call: True_, key: str) -> Iterator[Case]:
    yield Case(kind="bad key", arguments=f"{{{key}: 1}}")
    for begin in ('{"', "{'"):
        yield Case(kind="bad key", arguments=f'{begin}a": "b "c" d", {key}: "x "y" z"}}')
    if call.arguments:
        yield Case(kind="bad key", arguments=f'{text_of(call.arguments)[:-1]}, {key}: "x"}}')


def _deep(text: str) -> Iterator[Case]:
    yield Case(kind="deep or long", arguments=f'{{"value": {text}')
    yield Case(kind="deep or long", arguments=text)


def _maps(call: True_) -> Iterator[Case]:
    """Yield nulls inside open objects and arrays, where they are values like any other."""
    for key, value in call.arguments.items():
        schema = schema_at(call.schema, (key,))
        if schema.get("type") == "object" and "properties" not in schema:
            for inner in ({"PATH": None, "A": "b"}, {"a": {"b": None}}, {"": ""}, {"a": [None]}, {"a": Decimal("1.0")}):
                yield from _placed(call, key, "values of a map", text_of(inner))
        if schema.get("type") == "array" and isinstance(value, list) and value:
            yield from _placed(call, key, "null in an array", text_of([*value, None]))
            yield from _placed(call, key, "null in an array", text_of([None]))


def _with(call: True_, key: str, token: str) -> str:
    """Return the text of the arguments with raw text as one value."""
    return text_of(replaced(call.arguments, (key,), _MARK)).replace(json.dumps(_MARK, ensure_ascii=False), token, 1)
