"""Arguments are validated strictly, and each mismatch is data, with words that can follow "must be"."""

from datetime import date
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from agent.tooling.arguments import Issue, ModelArguments


class Inner(BaseModel):
    x: int


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=3, max_length=5)] = "abc"
    word: Annotated[str, Field(pattern="^a")] = "a"
    items: Annotated[list[int], Field(min_length=1)] = [1]
    number: Annotated[int, Field(ge=1, le=5)] = 1
    step: Annotated[float, Field(multiple_of=0.5)] = 1
    day: date | None = None
    choice: Literal["x", "y"] = "x"
    either: int | str | None = None
    inner: Inner | None = None
    mixed: Inner | list[int] | None = None
    counts: dict[str, int] | None = None
    pair: tuple[int, str] | None = None

    @field_validator("word")
    @classmethod
    def refuse_abad(cls, value: str) -> str:
        if value == "abad":
            msg = "abad is taken"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def refuse_two(self) -> "Outer":
        if self.number == 2:
            msg = "two is taken"
            raise ValueError(msg)
        return self


ARGUMENTS = ModelArguments(model=Outer)


def one(place: str, problem: str, expected: str) -> list[tuple[str, str, str]]:
    return [(place, problem, expected)]


@pytest.mark.parametrize(
    ("text", "issues"),
    [
        ('{"number": "3"}', one("$.number", "type", "an integer")),
        ('{"number": true}', one("$.number", "type", "an integer")),
        ('{"number": 3.0}', one("$.number", "type", "an integer")),
        ('{"number": 9}', one("$.number", "value", "less than or equal to 5")),
        ('{"step": 0.3}', one("$.step", "value", "a multiple of 0.5")),
        ('{"text": 5}', one("$.text", "type", "a string")),
        ('{"text": "a"}', one("$.text", "value", "a string with at least 3 characters")),
        ('{"word": "b"}', one("$.word", "value", "a string that matches the pattern '^a'")),
        ('{"word": "abad"}', one("$.word", "value", "a value that the tool accepts (abad is taken)")),
        ('{"number": 2}', one("$", "value", "a value that the tool accepts (two is taken)")),
        ('{"items": []}', one("$.items", "value", "an array with at least 1 item")),
        ('{"items": ["a", 1, "b"]}', [*one("$.items[0]", "type", "an integer"), ("$.items[2]", "type", "an integer")]),
        ('{"day": "soon"}', one("$.day", "value", "a date in ISO 8601, such as 2026-01-31")),
        ('{"choice": "z"}', one("$.choice", "value", "'x' or 'y'")),
        ('{"either": []}', one("$.either", "type", "an integer or a string")),
        ('{"inner": {}}', one("$.inner.x", "missing", "a value")),
        ('{"inner": 5}', one("$.inner", "type", "an object")),
        ('{"mixed": {"x": "a"}}', [*one("$.mixed.x", "type", "an integer"), ("$.mixed", "type", "an array")]),
        ('{"counts": {"a": "b"}}', one("$.counts.a", "type", "an integer")),
        ('{"pair": [1]}', one("$.pair[1]", "missing", "a value")),
        ('{"other": 1}', one("$.other", "extra", "no such field")),
        (
            '{"number": ' + "[" * 250 + "]" * 250 + "}",
            one("$", "value", "acceptable (Invalid JSON: recursion limit exceeded at line 1 column 212)"),
        ),
    ],
)
def test_a_mismatch_names_its_place_and_what_is_expected(text: str, issues: list[tuple[str, str, str]]) -> None:
    found = ARGUMENTS.check(text)
    assert isinstance(found, tuple)
    assert [(issue.place, issue.problem, issue.expected) for issue in found] == issues


def test_an_issue_carries_what_was_sent() -> None:
    assert ARGUMENTS.check('{"inner": {"x": [1]}}') == (
        Issue(path=("inner", "x"), problem="type", expected="an integer", sent=[1]),
    )


def test_valid_arguments_become_the_model() -> None:
    assert ARGUMENTS.check('{"day": "2026-01-31", "pair": [1, "a"]}') == Outer(day=date(2026, 1, 31), pair=(1, "a"))


def test_a_crash_in_a_validator_is_a_mismatch_and_does_not_end_the_run() -> None:
    class Odd(BaseModel):
        key: str

        @field_validator("key")
        @classmethod
        def look_up(cls, key: str) -> str:
            return {"a": "b"}[key]

    issue = Issue(
        path=(),
        problem="value",
        expected="something that the tool's own check takes; it failed with KeyError: 'z'",
        sent={"key": "z"},
    )
    assert ModelArguments(model=Odd).check('{"key": "z"}') == (issue,)
