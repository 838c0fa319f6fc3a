"""Make a pydantic model as strict as what is said of it: closed to unknown keys, and every value as it was spelt."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, cast

from pydantic import BaseModel, ValidationError, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator, core_schema

from .numbers import SpelledFloat, float_words, floats_in, is_exact

Node = dict[str, Any]
Reader = Callable[[object, ValidationInfo], object]


class Spellings(dict[str, object]):
    """How the floats of one text are spelt; the context of its validation, and empty for an author's own validator."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.by_value: dict[float, list[SpelledFloat]] = {}
        for number in floats_in(text):
            self.by_value.setdefault(float(number), []).append(number)
        written = (number for numbers in self.by_value.values() for number in numbers)
        self.inexact = {number.spelling for number in written if not is_exact(number)}
        """The spellings of numbers that no float is, and that no Decimal took."""


def closed_schema(model: type[BaseModel]) -> CoreSchema:
    """Return the model's core schema, in which an object refuses unknown keys unless its author decided otherwise."""
    model.model_rebuild()
    return _rebuilt(cast("Node", model.__pydantic_core_schema__), _closed)


def strict_validator(model: type[BaseModel]) -> SchemaValidator:
    """Return a validator for `validate_json(text, strict=True, by_name=False, context=Spellings(text))`."""
    schema = _rebuilt(cast("Node", closed_schema(model)), _exact)
    # A prebuilt validator would be the class's own, which takes unknown keys.
    return SchemaValidator(schema, _use_prebuilt=False)


_ONE = {
    "schema", "keys_schema", "values_schema", "extras_schema", "extras_keys_schema", "lax_schema", "strict_schema",
    "json_schema", "python_schema", "arguments_schema", "var_args_schema", "var_kwargs_schema",
}  # fmt: skip
_SEVERAL = {"items_schema", "choices", "steps", "fields", "definitions"}


def _rebuilt(node: Node, change: Callable[[Node], Node]) -> CoreSchema:
    """Return a copy of a core schema with each schema in it changed, the inner ones first."""
    copy = dict(node)
    for key, value in node.items():
        # Keys of an object are texts in JSON; `_exact_keys` knows what they may be.
        if key in _ONE | _SEVERAL and not (change is _exact and key == "keys_schema"):
            copy[key] = _rebuilt_member(value, change)
    return cast("CoreSchema", change(copy))


def _rebuilt_member(value: object, change: Callable[[Node], Node]) -> object:
    """Rebuild what a key of a core schema holds: a schema, a list or mapping of schemas, or a schema with its label."""
    if isinstance(value, dict):
        node = cast("Node", value)
        if isinstance(node.get("type"), str):
            return _rebuilt(node, change)
        return {key: _rebuilt_member(item, change) for key, item in node.items()}
    if isinstance(value, list):
        return [_rebuilt_member(item, change) for item in cast("list[object]", value)]
    if isinstance(value, tuple):
        schema, *label = cast("tuple[object, ...]", value)
        return (_rebuilt_member(schema, change), *label)
    return value


def _closed(node: Node) -> Node:
    if isinstance(node.get("validation_alias"), list):
        return _with_one_alias(node)
    config = cast("Node", node.get("config", {}))
    has_keys = node["type"] in {"model", "dataclass", "typed-dict"} and not node.get("root_model")
    if has_keys and "extra_fields_behavior" not in config:
        node["config"] = {**config, "extra_fields_behavior": "forbid"}
        if node.get("extra_behavior") == "ignore":  # how pydantic spells that a TypedDict says nothing of it
            node["extra_behavior"] = "forbid"
    return node


def _with_one_alias(field: Node) -> Node:
    """Keep the one key that the JSON Schema names; of two keys for one field, pydantic drops one unseen."""
    paths = cast("list[object]", field["validation_alias"])
    singles = (cast("list[object]", path) for path in paths if isinstance(path, list))
    first = next((path[0] for path in singles if len(path) == 1), None)
    named = {key: value for key, value in field.items() if key != "validation_alias"}
    return named if first is None else {**named, "validation_alias": first}


def _exact(node: Node) -> Node:
    kind = node["type"]
    if kind == "dict" and "keys_schema" in node:
        return {**node, "keys_schema": _exact_keys(node["keys_schema"])}
    if kind == "generator":  # pydantic validates its items only while the tool runs through them
        items = node.get("items_schema", core_schema.any_schema())
        return {"type": "list", "items_schema": items, **({"ref": node["ref"]} if "ref" in node else {})}
    if kind == "model" and node.get("custom_init"):
        return _built_by_init(node)
    function = _reader(kind, node)
    return node if function is None else _before(function, node)


def _reader(kind: str, node: Node) -> Reader | None:
    """Return the function that reads what pydantic itself would change; None if it changes nothing."""
    if kind in _ISO:
        return _iso_reader(kind)
    if kind == "literal" and {type(choice) for choice in node["expected"]} & {bool, int}:
        return _choice_reader(node["expected"], node["expected"])
    if kind == "enum" and any(isinstance(member.value, int | float) for member in node["members"]):
        return _choice_reader([member.value for member in node["members"]], node["members"], node.get("missing"))
    return {"float": _float_as_spelt, "decimal": _decimal_as_spelt}.get(kind)


def _before(function: Reader, node: Node) -> Node:
    """Add a function that runs before a schema; in strict mode the schema then accepts only instances of its type."""
    outer: Node = {"type": "function-before", "function": {"type": "with-info", "function": function}}
    if "ref" in node:
        outer["ref"] = node["ref"]
    return {**outer, "schema": {key: value for key, value in node.items() if key != "ref"}}


def _built_by_init(node: Node) -> Node:
    """Check the fields before an author's own `__init__` gets them; pydantic leaves all checks, lax ones, to that."""
    model = cast("type[BaseModel]", node["cls"])
    aliases = {name: field.validation_alias or field.alias for name, field in model.model_fields.items()}
    keys = {name: alias if isinstance(alias, str) else name for name, alias in aliases.items()}

    def build(checked: BaseModel) -> BaseModel:
        given = {key: getattr(checked, name) for name, key in keys.items() if name in checked.model_fields_set}
        return model(**given, **(checked.model_extra or {}))

    inner = {key: value for key, value in node.items() if key not in {"ref", "post_init"}}
    outer: Node = {"type": "function-after", "function": {"type": "no-info", "function": build}}
    return {**outer, **({"ref": node["ref"]} if "ref" in node else {}), "schema": {**inner, "custom_init": False}}


def _float_as_spelt(value: object, info: ValidationInfo) -> object:
    written: list[SpelledFloat] = []
    if isinstance(value, int) and not isinstance(value, bool):
        written = [SpelledFloat(str(value))]
    elif isinstance(value, float) and isinstance(info.context, Spellings):
        written = info.context.by_value.get(value, [])
    changed = next((number for number in written if not is_exact(number)), None)
    return value if changed is None else _refuse(float_words(changed))


_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)


def _decimal_as_spelt(value: object, info: ValidationInfo) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    if not isinstance(value, float) or not isinstance(info.context, Spellings):
        return value if isinstance(value, Decimal) else _refuse("a decimal number, such as 12.50")
    written = {number.spelling for number in info.context.by_value.get(value, ())}
    if len(written) > 1:  # 1.1 and 1.10 are one float; which of them this is, is lost. Coercion sends its digits.
        return _refuse("a string with the digits of the number")
    info.context.inexact -= written
    return next((Decimal(spelling) for spelling in written), value)


def _refuse(words: str) -> object:
    raise PydanticCustomError("as_spelt", "Input should be {words}", {"words": words})


_TIME = r"\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:[Zz]|[+-]\d\d:?\d\d)?"
_AMOUNT = r"\d+(?:\.\d{1,6})?"
_ISO = {
    "date": (r"\d{4}-\d\d-\d\d", "a date in ISO 8601, such as 2026-01-31"),
    "datetime": (rf"\d{{4}}-\d\d-\d\d[Tt ]{_TIME}", "a date and time in ISO 8601, such as 2026-01-31T12:00:00Z"),
    "time": (_TIME, "a time in ISO 8601, such as 12:00:00"),
    # Years and months have no fixed length.
    "timedelta": (
        rf"[+-]?P(?:{_AMOUNT}W)?(?:{_AMOUNT}D)?(?:T(?=\d)(?:{_AMOUNT}H)?(?:{_AMOUNT}M)?(?:{_AMOUNT}S)?)?",
        "a duration in ISO 8601 in weeks, days, hours, minutes and seconds, such as P1DT2H30M",
    ),
}


def _iso_reader(kind: str) -> Reader:
    """Return a reader of one spelling; pydantic's own also takes seconds since 1970 and drops digits it cannot hold."""
    pattern, words = re.compile(_ISO[kind][0], re.ASCII), _ISO[kind][1]
    lax = SchemaValidator(cast("CoreSchema", {"type": kind}))

    def read(value: object, _: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        if pattern.fullmatch(value):
            with contextlib.suppress(ValidationError):
                return lax.validate_python(value)
        return _refuse(words)

    return read


def _choice_reader(
    spelt: Sequence[object], choices: Sequence[object], missing: Callable[[object], object] | None = None
) -> Reader:
    """Return a reader of choices among which true is not 1: to Python, and so to pydantic, they are equal."""
    words = " or ".join(", ".join(repr(choice) for choice in spelt).rsplit(", ", 1))

    def read(value: object, _: ValidationInfo) -> object:
        for written, choice in zip(spelt, choices, strict=True):
            if written == value and isinstance(written, bool) == isinstance(value, bool):
                return choice
        found = None if missing is None or isinstance(value, bool) else missing(value)
        return _refuse(words) if found is None else found

    return read


_KEYS = {
    "bool": (re.compile("true|false"), {"true": True, "false": False}.__getitem__),
    "int": (re.compile(r"0|-?[1-9]\d{0,999}", re.ASCII), int),
    "float": (re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{0,14}[1-9])?", re.ASCII), float),
}


def _exact_keys(node: Node) -> Node:
    """Accept one spelling of each key: "1", "01" and "1.0" are three keys of the text, and would be one of the dict."""
    if node["type"] not in _KEYS:
        return _exact(node) if node["type"] in _ISO else node
    pattern, convert = _KEYS[node["type"]]

    def read(value: object, _: ValidationInfo) -> object:
        return convert(value) if isinstance(value, str) and pattern.fullmatch(value) else value

    return _before(read, node)
