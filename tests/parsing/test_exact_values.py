"""Every value arrives as it was spelt, or the call is refused; nothing changes without a word."""

import datetime as dt
import enum
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BeforeValidator, Field

from agent.messages import RawCall
from agent.parsing.feedback import feedback
from agent.parsing.validation import CheckedCall, InvalidCall, check
from agent.tooling.from_schema import tool_from_schema
from agent.tooling.tool import Tool, tool
from agent.tooling.toolbox import Toolbox


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


def typed(annotation: Any) -> Tool:
    def take(x: Any) -> str:
        return str(x)

    take.__doc__ = "Take it."
    take.__annotations__ = {"x": annotation}
    return tool(take)


async def echo(value: dict) -> str:
    return str(value)


def declared(schema: dict[str, Any]) -> Tool:
    return tool_from_schema(echo, name="take", description="Take it.", parameters=schema)


def sent_to(made: Tool, arguments: str) -> CheckedCall | InvalidCall:
    return check(RawCall(name="take", arguments=arguments), Toolbox([made]), call_id="aBcDeF123")


def arrived(annotation: Any, value: str) -> tuple[object, tuple[str, ...]] | str:
    """Return what arrives and what was repaired, or why it is refused."""
    found = sent_to(typed(annotation), f'{{"x": {value}}}')
    if isinstance(found, InvalidCall):
        return found.reason
    return found.value.x, found.call.repairs  # type: ignore[attr-defined]


UTC = dt.UTC
ISO = [
    (dt.datetime, '"2026-11-28T12:30:00Z"', dt.datetime(2026, 11, 28, 12, 30, tzinfo=UTC)),
    (dt.datetime, '"2026-11-28 12:30"', dt.datetime(2026, 11, 28, 12, 30)),  # noqa: DTZ001 - none was sent
    (dt.datetime, '"2026-11-28T12:30:00.25+00:00"', dt.datetime(2026, 11, 28, 12, 30, 0, 250_000, tzinfo=UTC)),
    (dt.date, '"2026-11-28"', dt.date(2026, 11, 28)),
    (dt.time, '"12:30"', dt.time(12, 30)),
    (dt.timedelta, '"P1DT2H30M"', dt.timedelta(days=1, hours=2, minutes=30)),
    (dt.timedelta, '"PT1.5H"', dt.timedelta(minutes=90)),
    (dict[dt.date, int], '{"2026-11-28": 1}', {dt.date(2026, 11, 28): 1}),
    (dt.datetime | str, '"2026"', "2026"),
    (int | dt.datetime, "1700000000", 1700000000),
]


@pytest.mark.parametrize(("annotation", "value", "expected"), ISO)
def test_a_time_in_iso_8601_arrives(annotation: Any, value: str, expected: object) -> None:
    assert arrived(annotation, value) == (expected, ())


NOT_ISO = [
    *[(dt.datetime, value) for value in ("1700000000", '"1700000000"', '"2026"', '"20261128"', "1.5", '"2026-11-28"')],
    *[(dt.datetime, value) for value in ('"2026-11-28_12:00"', '"2026-11-28T12:00:00.1234567"', '"2026-02-30T12:00"')],
    *[(dt.date, value) for value in ("0", '"0"', '"1700006400"', '"2026-13-01"', '"2026-11-28T00:00:00"')],
    *[(dt.time, value) for value in ("3600", '"3600"', '"12:00:00.1234567"', '"25:00"')],
    *[(dt.timedelta, value) for value in ("90", '"90"', '"P1M"', '"P1Y"', '"01:02:03"', '"PT0.1234567S"', '"P"')],
    (dict[dt.date, int], '{"0": 1}'),
]


@pytest.mark.parametrize(("annotation", "value"), NOT_ISO)
def test_a_time_in_no_iso_spelling_is_refused_and_never_taken_for_seconds(annotation: Any, value: str) -> None:
    refusal = arrived(annotation, value)
    assert isinstance(refusal, str)
    assert "in ISO 8601" in refusal


NUMBERS = [
    (Decimal, "12345678901234567.89", Decimal("12345678901234567.89"), ()),
    (Decimal, "1.10", Decimal("1.10"), ()),
    (Decimal, "1e-400", Decimal("1e-400"), ()),
    (Decimal, "5", Decimal(5), ()),
    (Decimal, '"1.50"', Decimal("1.50"), ()),
    (Decimal | None, "0.1000000000000000055511151231257827", Decimal("0.1000000000000000055511151231257827"), ()),
    (float | Decimal, "12345678901234567.89", Decimal("12345678901234567.89"), ()),
    (int, "9007199254740993.0", 9007199254740993, ("float_to_integer $.x",)),
    (int, "1e3", 1000, ("float_to_integer $.x",)),
    (int, "1e30", 10**30, ("float_to_integer $.x",)),
    (int, "123456789012345678901234567890", 123456789012345678901234567890, ()),
    (int | str, "3.0", 3, ("float_to_integer $.x",)),
    (float | str, "9007199254740993", "9007199254740993", ("number_to_string $.x",)),
    (Any, "9007199254740993.0", 9007199254740993, ("float_to_integer $.x",)),
    (float, "0.1", 0.1, ()),
    (float, "1e23", 1e23, ()),
    (float, "0.1000000000000000055511151231257827021181583404541015625", 0.1, ()),
    (float, "9007199254740992", 9007199254740992.0, ()),
    (str, "9007199254740993.0", "9007199254740993.0", ("number_to_string $.x",)),
    (str, "5.0000000000000001", "5.0000000000000001", ("number_to_string $.x",)),
    (str, "-0", "-0", ("number_to_string $.x",)),
    (Level, "1", Level.LOW, ()),
    (Literal[1, 2], "2", 2, ()),
    (dict[int, str], '{"1": "a"}', {1: "a"}, ()),
    (Iterable[int], "[1]", [1], ()),
]


@pytest.mark.parametrize(("annotation", "value", "expected", "repairs"), NUMBERS)
def test_a_number_arrives_as_it_was_spelt(
    annotation: Any, value: str, expected: object, repairs: tuple[str, ...]
) -> None:
    assert repr(arrived(annotation, value)) == repr((expected, repairs))


def test_decimals_that_are_one_float_keep_their_own_digits() -> None:
    assert repr(arrived(list[Decimal], "[1.1, 1.10, 2.50]")) == repr(
        (
            [Decimal("1.1"), Decimal("1.10"), Decimal("2.50")],
            ("number_to_string $.x[0]", "number_to_string $.x[1]"),
        )
    )


CHANGED = [
    (
        float,
        "9007199254740993",
        "$.x must be a number that a 64-bit float can hold, such as 9007199254740992.0, got {}",
    ),
    (float, "5.0000000000000001", "$.x must be a number that a 64-bit float can hold, such as 5.0, got {}"),
    (float, "1e-400", "$.x must be a number that a 64-bit float can hold, such as 0.0, got {}"),
    (float, '"0.12345678901234567890"', None),
    (Any, "3.14159265358979323846", None),
    (dict[str, Any], '{"a": [1.5, 3.14159265358979323846]}', None),
    (int, "5.0000000000000001", "$.x must be an integer, got {}"),
    (int, "9007199254740992.5", "$.x must be an integer, got {}"),
    (int, "1e400", "the number is too large"),
    (int, "1e999999", "the number is too large"),
    (Decimal, "true", "$.x must be a decimal number, such as 12.50, got true"),
    (Literal[1, 2], "true", "$.x must be 1 or 2, got true"),
    (Literal[True], "1", "$.x must be True, got 1"),
    (Level, "true", "$.x must be 1 or 2, got true"),
    (dict[int, str], '{"1": "a", "01": "b"}', '$.x.01 must be under a key that is an integer, got "b"'),
    (dict[bool, int], '{"true": 1, "yes": 2}', "$.x.yes must be under a key that is true or false, got 2"),
    (Iterable[int], '["a"]', '$.x[0] must be an integer, got "a"'),
]


@pytest.mark.parametrize(("annotation", "value", "reason"), CHANGED)
def test_a_value_that_would_change_is_refused(annotation: Any, value: str, reason: str | None) -> None:
    refusal = arrived(annotation, value)
    assert isinstance(refusal, str)
    assert reason is None or refusal == reason.format(value)


DECLARED = declared(
    {
        "type": "object",
        "properties": {
            "i": {"type": "integer"},
            "n": {"type": "number"},
            "l": {"type": "array", "items": {"type": "integer"}},
            "u": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        },
    }
)


@pytest.mark.parametrize(
    ("arguments", "value", "repairs"),
    [
        ('{"i": 3.0}', {"i": 3}, ("float_to_integer $.i",)),
        ('{"i": 1e3}', {"i": 1000}, ("float_to_integer $.i",)),
        ('{"i": 9007199254740993.0}', {"i": 9007199254740993}, ("float_to_integer $.i",)),
        ('{"l": [1.0, 2, 3e0]}', {"l": [1, 2, 3]}, ("float_to_integer $.l[0]", "float_to_integer $.l[2]")),
        ('{"u": 3.0}', {"u": 3}, ("float_to_integer $.u",)),
        ('{"n": 9007199254740993.0}', {"n": 9007199254740993}, ("float_to_integer $.n",)),
        ('{"n": 3.0}', {"n": 3.0}, ()),
        ('{"n": 9007199254740993}', {"n": 9007199254740993}, ()),
    ],
)
def test_an_integer_reaches_a_schema_tool_as_an_integer_and_the_call_says_so(
    arguments: str, value: dict[str, Any], repairs: tuple[str, ...]
) -> None:
    found = sent_to(DECLARED, arguments)
    assert isinstance(found, CheckedCall)
    assert repr((found.value, found.call.repairs)) == repr((value, repairs))
    assert json.loads(found.call.arguments) == value


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ('{"i": 5.0000000000000001}', "$.i must be an integer, got 5.0000000000000001"),
        (
            '{"n": 5.0000000000000001}',
            "$.n must be a number that a 64-bit float can hold, such as 5.0, got 5.0000000000000001",
        ),
    ],
)
def test_a_number_that_would_change_is_refused_by_a_schema_tool(arguments: str, reason: str) -> None:
    found = sent_to(DECLARED, arguments)
    assert isinstance(found, InvalidCall)
    assert found.reason == reason


@pytest.mark.parametrize(
    ("sent", "text", "number"),
    [
        ("+4915112345678", "+4915112345678", 4915112345678),
        ("0x1F", "0x1F", 31),
        ("1_000", "1_000", 1000),
        ("1.50", "1.50", 1.5),
        (".5", ".5", 0.5),
        ("5.", "5.", 5.0),
        ("007.5", None, None),
    ],
)
def test_a_repaired_number_is_a_text_as_the_model_wrote_it(sent: str, text: str | None, number: float | None) -> None:
    call = f'{{"x": {sent},}}'
    as_text, as_number = sent_to(typed(str), call), sent_to(typed(float), call)
    if text is None:
        assert isinstance(as_text, InvalidCall)
        assert isinstance(as_number, InvalidCall)
        return
    assert isinstance(as_text, CheckedCall)
    assert isinstance(as_number, CheckedCall)
    assert as_text.value.x == text  # type: ignore[attr-defined]
    assert as_number.value.x == number  # type: ignore[attr-defined]


NULLS = {
    "a key of a free-form object": (typed(dict[str, str]), '{"x": {"PATH": null, "A": "b"}}'),
    "a key of a declared map": (
        declared(
            {"type": "object", "properties": {"x": {"type": "object", "additionalProperties": {"type": "string"}}}}
        ),
        '{"x": {"PATH": null}}',
    ),
    "a key under a pattern": (
        declared(
            {
                "type": "object",
                "properties": {"x": {"type": "object", "patternProperties": {"^P": {"type": "string"}}}},
            }
        ),
        '{"x": {"PATH": null}}',
    ),
}


@pytest.mark.parametrize("name", NULLS)
def test_a_null_that_says_something_is_not_left_out(name: str) -> None:
    made, arguments = NULLS[name]
    found = sent_to(made, arguments)
    assert isinstance(found, InvalidCall)
    assert found.issues[0].place == "$.x.PATH"


def test_a_null_for_an_optional_property_is_left_out() -> None:
    made = declared({"type": "object", "properties": {"x": {"type": "integer", "default": 3}}})
    found = sent_to(made, '{"x": null}')
    assert isinstance(found, CheckedCall)
    assert (found.value, found.call.repairs) == ({}, ("null_left_out $.x",))


def test_what_an_authors_validator_makes_of_a_value_is_not_what_was_sent() -> None:
    """The feedback shows JSON; the object that a validator returned is none, and ended the run."""
    parsed = Annotated[int, Field(gt=5), BeforeValidator(lambda _: object())]
    assert arrived(parsed, '"a"') == '$.x must be an integer, got "a"'


KEYS = [
    r"pho\une",
    r"\ud83d",
    r"a\nb",
    "a\nb",
    "",
    r"\u0000",
    "\ud83d",
    r"\x",
    "a\\",
    "\\n\\\ud800",
    "__proto__",
    "$ref",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", ['"x"', '"say "hi" now"', "1", "null"])
@pytest.mark.parametrize(
    "made", [typed(str), typed(dict[str, str]), declared({"type": "object", "additionalProperties": {}})]
)
def test_an_odd_key_gets_feedback_like_any_other_fault(key: str, value: str, made: Tool) -> None:
    for arguments in (f'{{"{key}": {value}}}', f'{{"x": {{"{key}": {value}}}}}', f"{{'{key}': {value}, }}"):
        answered(arguments, made)


def answered(arguments: str, made: Tool) -> None:
    found = sent_to(made, arguments)
    assert isinstance(json.loads(found.call.arguments), dict)
    if isinstance(found, InvalidCall):
        (feedback(found, attempt=2, same_as_before=True, toolbox=Toolbox([made])) + found.reason).encode()


pieces = st.sampled_from(
    [
        *"{}[]:,'\"\\/ \n",
        '"x"',
        '"a"',
        '{"x": ',
        "\\u",
        "\\ud83d",
        "\\n",
        "1.50",
        "+5",
        "0x1F",
        "1e400",
        "NaN",
        "null",
        "True",
    ]
)
TOOLS = [typed(dict[str, Decimal]), typed(list[float] | str), typed(dt.datetime), declared({"type": "object"})]


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces | st.text(max_size=3), max_size=12).map("".join), st.sampled_from(TOOLS))
def test_no_text_of_json_pieces_raises(text: str, made: Tool) -> None:
    answered(text, made)
    answered(f'{{"x": {text}}}', made)
    answered(f'{{"x": "{text}"}}', made)
    answered(f'{{"{text}": 1}}', made)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.sampled_from(TOOLS))
def test_no_bytes_raise(data: bytes, made: Tool) -> None:
    answered(data.decode("latin-1"), made)
    answered(data.decode(errors="surrogateescape"), made)
