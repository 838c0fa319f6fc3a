"""The documents of records: `help()` and an editor's hover describe each field, and the task schema says the same."""

import ast
import dataclasses
import inspect
import pydoc
import textwrap

import docstring_parser
import pytest

import agent
from agent.model.profiles import Profile, Surface
from agent.task import parts
from agent.task.schema import task_schema

PUBLIC = [getattr(agent, name) for name in agent.__all__]
TASK_PARTS = [value for value in vars(parts).values() if getattr(value, "__module__", "") == parts.__name__]
RECORDS = [
    one for one in (*PUBLIC, *TASK_PARTS, Profile, Surface) if isinstance(one, type) and dataclasses.is_dataclass(one)
]


def described(record: type) -> dict[str, str]:
    docs = docstring_parser.parse(record.__doc__ or "", style=docstring_parser.DocstringStyle.GOOGLE)
    return {one.arg_name: one.description or "" for one in docs.params}


@pytest.mark.parametrize("record", RECORDS)
def test_help_describes_every_field_of_a_record_in_its_order(record: type):
    names = [field.name for field in dataclasses.fields(record) if not field.name.startswith("_")]
    docs = described(record)
    assert list(docs) == names
    assert all(docs.values())
    assert all(name in pydoc.render_doc(record) for name in names)


@pytest.mark.parametrize("record", RECORDS)
def test_the_description_of_a_field_is_in_one_place(record: type):
    """A text under a field is seen neither by `help()` nor on the call that makes the record."""
    body = ast.parse(textwrap.dedent(inspect.getsource(record))).body[0]
    assert isinstance(body, ast.ClassDef)
    texts = [
        ast.unparse(after)
        for field, after in zip(body.body, body.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and not ast.unparse(field).startswith("_")
    ]
    assert texts == []


def test_the_schema_of_tasks_has_the_texts_of_help_without_line_breaks():
    parts_of_schema = task_schema()["$defs"]
    text = "Generated tokens of all requests together, including reasoning."
    assert parts_of_schema["Limits"]["properties"]["output_tokens"]["description"] == text
    assert parts_of_schema["Limits"]["description"].startswith("Limits of one run, checked before each request")
    for name, part in parts_of_schema.items():
        for field in part.get("properties", {}).values():
            assert field["description"] == " ".join(field["description"].split()) != "", name
