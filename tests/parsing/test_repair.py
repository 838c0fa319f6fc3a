"""Arguments are repaired only if they are unambiguous; all others are refused with a reason."""

import json
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.parsing.repair import Parsed, Unparsable, parse_object
from agent.tooling.numbers import spelling_of

AB = {"a": 3, "b": 4}
quick = settings(max_examples=60, deadline=None)

# A comparison of eight repair libraries, 2026-11: the 26 unambiguous inputs.
UNAMBIGUOUS = {
    "a trailing comma": ('{"a": 3, "b": 4,}', AB, ("trailing_comma",)),
    "single quotes": ("{'a': 3, 'b': 4}", AB, ("single_quotes",)),
    "python literals": ("{'a': True, 'b': None}", {"a": True, "b": None}, ("single_quotes", "python_literal")),
    "an apostrophe in single quotes": (r"{'t': 'it\'s'}", {"t": "it's"}, ("single_quotes",)),
    "unquoted keys": ("{a: 3, b: 4}", AB, ("unquoted_key",)),
    "double encoding": ('"{\\"a\\": 3, \\"b\\": 4}"', AB, ("double_encoded",)),
    "a markdown fence": ('```json\n{"a": 3, "b": 4}\n```', AB, ("code_fence",)),
    "trailing prose": ('{"a": 3, "b": 4}\nI will add them now.', AB, ("trailing_text",)),
    "leading prose": ('Here are the arguments: {"a": 3, "b": 4}', AB, ("leading_text",)),
    "a raw newline in a string": ('{"t": "a\nb"}', {"t": "a\nb"}, ("control_characters",)),
    "a raw tab in a string": ('{"t": "a\tb"}', {"t": "a\tb"}, ("control_characters",)),
    "a bad escape": (r'{"t": "\d+"}', {"t": r"\d+"}, ("single_backslashes",)),
    "unescaped inner quotes": ('{"t": "print("hi")"}', {"t": 'print("hi")'}, ("unescaped_quotes",)),
    "unescaped inner quotes in the second of two fields": (
        '{"p": "a.py", "t": "env.get("X", "Y")"}',
        {"p": "a.py", "t": 'env.get("X", "Y")'},
        ("unescaped_quotes",),
    ),
    "a comment": ('{"a": 3, // first\n "b": 4}', AB, ("comment",)),
    "a string that looks like a comment": ('{"t": "http://x // y"}', {"t": "http://x // y"}, ()),
    "typographic quotes": ("{“a”: 3, “b”: 4}", AB, ("typographic_quotes",)),
    "a missing comma": ('{"a": 3 "b": 4}', AB, ("missing_comma",)),
    "an extra brace": ('{"a": 3, "b": 4}}', AB, ("trailing_marks",)),
    "double braces": ('{{"a": 3, "b": 4}}', AB, ("double_braces",)),
    "a special token at the end": ('{"a": 3, "b": 4}<|im_end|>', AB, ("trailing_marks",)),
    "an end-of-text token at the end": ('{"a": 3, "b": 4}</s>', AB, ("trailing_marks",)),
    "a hexadecimal number": ('{"a": 0x1F, "b": 4}', {"a": 31, "b": 4}, ("hexadecimal",)),
    "a plus sign": ('{"a": +3, "b": 4}', AB, ("plus_sign",)),
    "digit separators": ('{"a": 1_000, "b": 4}', {"a": 1000, "b": 4}, ("digit_separators",)),
    "a NUL escape": ('{"t": "a\\u0000b"}', {"t": "a\x00b"}, ()),
}

# The 23 that cannot be repaired: reason, position, and whether they look cut off.
UNREPAIRABLE = {
    "a missing last brace": ('{"a": 3, "b": 4', "the text ends inside the object", 15, True),
    "a truncated number": ('{"a": 3, "b": 4', "the text ends inside the object", 15, True),
    "a cut after the colon": ('{"a": 3, "b":', "the text ends inside the object", 13, True),
    "a truncated key": ('{"a": 3, "b', "the text ends inside the object", 11, True),
    "a truncated command": ('{"cmd": "rm -rf /srv/build', "the text ends inside the object", 26, True),
    "a truncated file": ('{"path": "a.py", "content": "import os\\n', "the text ends inside the object", 40, True),
    "a truncated array": ('{"files": ["a.py", "b.p', "the text ends inside the object", 23, True),
    "two equal objects": ('{"a": 3}{"a": 3}', "more text follows the object", 8, False),
    "two different objects": ('{"a": 3}{"a": 5}', "more text follows the object", 8, False),
    "a Windows path": (
        r'{"t": "C:\new\temp"}',
        "it reads as a Windows path with single backslashes; double each, or write a line break as \\u000a",
        6,
        False,
    ),
    "NaN": ('{"a": NaN, "b": 4}', "NaN is not a JSON value", None, False),
    "duplicate keys": ('{"a": 1, "a": 3}', 'the key "a" comes twice', None, False),
    "leading zeros": ('{"a": 007}', "a number with leading zeros may be octal or a text", 6, False),
    "an ellipsis": ('{"a": 3, ...}', "expected a key in double quotes", 9, False),
    "nothing": ("", "it is empty", None, False),
    "only text": ("I will add the numbers", "it is not an object", 0, False),
    "null": ("null", "it is null, not an object", None, False),
    "an array": ("[3, 4]", "it is an array, not an object", None, False),
    "Mistral's own call text": ('add[ARGS]{"a": 3, "b": 4}', "it is not an object", 0, False),
    "XML parameters": ('<parameter name="a">3</parameter>', "it is not an object", 0, False),
    "a lone surrogate": (
        '{"t": "\\ud83d"}',
        "a \\ud800 to \\udfff escape stands alone, which is half a character",
        None,
        False,
    ),
    "3000 levels": ('{"a":' * 3000 + "1" + "}" * 3000, "it is nested more than 100 deep", None, False),
    "5000 digits": ('{"a": 1' + "0" * 5000 + "}", "a number has too many digits", None, False),
}

MORE_UNREPAIRABLE = {
    "an odd unescaped quote": '{"cmd": "echo "hi"}',
    "a valid escape next to an invalid one": r'{"t": "\d+\n"}',
    "a doubled opening brace only": '{{"a": 3}',
    "more members after the object": '{"a": 3}, "b": 4}',
    "double encoding of a cut object": json.dumps('{"a": 3'),
    "double encoding of double encoding": json.dumps(json.dumps('{"a": 3}')),
    "a string": '"add"',
    "an object in an array": '[{"a": 3}]',
    "an infinite number": '{"a": 1e999}',
    "an infinite number in a sloppy object": "{'a': 1e999}",
    "too many digits in a sloppy object": "{'a': 1" + "0" * 5000 + "}",
    "a sloppy key twice": "{'a': 1, 'a': 2}",
    "undefined": "{a: undefined}",
    "a missing comma after a string": '{"a": "x" "b": "y"}',
    "a missing colon": '{"a": "x", "b" "y"}',
    "a stray string": '{"a": "x", "b"}',
    "an array without brackets": '{"files": "a.py", "b.py"}',
    "a brace in place of a comma": '{"a": {"b": null} "c": "x"}}',
    "a missing comma in an array": '{"a": [1 2]}',
    "a quote of another kind inside": "{“a”: “x “y” z”}",
    "an unfinished escape": '{"a": "x\\',
    "an unfinished unicode escape": '{"a": "\\u12"}',
    "a number that runs into a word": '{"a": 3px}',
    "a cut literal": "{'a': Tru",
    "101 levels": '{"a":' * 101 + "1" + "}" * 101,
    "101 sloppy levels": "{'a':" * 101 + "1" + "}" * 101,
    "an open array a hundred thousand deep": "[" * 100_000,
    "a name before the object": 'add {"a": 3}',
    "two fences": '```json\n{"a": 3}\n```\n```json\n{"a": 4}\n```',
    "many unescaped quotes": '{"a": "' + '", "' * 2000 + '"}',
    "a bad escape in a key": r'{"pho\une": "x"}',
    "NaN beside unescaped quotes": '{"a": NaN, "t": "say "hi" now"}',
    "two keys that are one once unescaped": r'{"a": 1, "\u0061": 2}',
    "half a character in a key": r'{"\ud83d": 1}',
    "a number cut at its point": '{"a": 5.',
    "a point alone": '{"a": .}',
    "prose that continues with another object": '{"a": 3} or rather {"a": 4}',
}


@pytest.mark.parametrize("name", UNAMBIGUOUS)
def test_unambiguous_text_is_parsed(name: str) -> None:
    text, value, repairs = UNAMBIGUOUS[name]
    expected = text if not repairs else json.dumps(value)
    assert parse_object(text) == Parsed(value=value, text=expected, repairs=repairs)


@pytest.mark.parametrize("name", UNREPAIRABLE)
def test_unrepairable_text_is_refused(name: str) -> None:
    text, reason, position, cut_off = UNREPAIRABLE[name]
    assert parse_object(text) == Unparsable(reason=reason, position=position, cut_off=cut_off)


@pytest.mark.parametrize("name", MORE_UNREPAIRABLE)
def test_other_unrepairable_text_is_refused(name: str) -> None:
    assert isinstance(parse_object(MORE_UNREPAIRABLE[name]), Unparsable)


def test_the_matrix_is_complete() -> None:
    assert (len(UNAMBIGUOUS), len(UNREPAIRABLE)) == (26, 23)


@pytest.mark.parametrize(
    ("text", "value", "repairs"),
    [
        ("{'t': \"it's\"}", {"t": "it's"}, ("single_quotes",)),
        (r"""{"t": "it\'s"}""", {"t": "it's"}, ("escaped_apostrophe",)),
        ('\u00a0{"t":\u00a01}', {"t": 1}, ("blanks",)),
        ("{'t': 'say \"hi\"'}", {"t": 'say "hi"'}, ("single_quotes",)),
        ('Sure, here:\n```json\n{"a": 3,}\n```', {"a": 3}, ("leading_text", "code_fence", "trailing_comma")),
        ('{"a": [1, 2,], "b": {"c": null,},}', {"a": [1, 2], "b": {"c": None}}, ("trailing_comma",)),
        ('{"a": 3} // the sum', {"a": 3}, ("trailing_text",)),
        ('{"a": 3}}</s> Done with it.', {"a": 3}, ("trailing_marks", "trailing_text")),
        (r'{"t": "C:\Users\data"}', {"t": r"C:\Users\data"}, ("single_backslashes",)),
        ("{'a': -0x10}", {"a": -16}, ("single_quotes", "hexadecimal")),
        (json.dumps("{'a': 3}"), {"a": 3}, ("double_encoded", "single_quotes")),
    ],
)
def test_repairs_are_combined(text: str, value: dict, repairs: tuple[str, ...]) -> None:
    assert parse_object(text) == Parsed(value=value, text=json.dumps(value), repairs=repairs)


@pytest.mark.parametrize(
    ("sent", "text", "spelling", "repairs"),
    [
        ("3.5e1", "3.5e1", "3.5e1", ("trailing_comma",)),
        ("1.50", "1.50", "1.50", ("trailing_comma",)),
        ("+4915112345678", "4915112345678", "+4915112345678", ("plus_sign", "trailing_comma")),
        ("+1.50", "1.50", "+1.50", ("plus_sign", "trailing_comma")),
        ("0x1F", "31", "0x1F", ("hexadecimal", "trailing_comma")),
        ("1_000", "1000", "1_000", ("digit_separators", "trailing_comma")),
        ("1_000.2_5", "1000.25", "1_000.2_5", ("digit_separators", "trailing_comma")),
        (".5", "0.5", ".5", ("bare_point", "trailing_comma")),
        ("-.5", "-0.5", "-.5", ("bare_point", "trailing_comma")),
        ("5.", "5.0", "5.", ("bare_point", "trailing_comma")),
        ("5.e3", "5.0e3", "5.e3", ("bare_point", "trailing_comma")),
        ("-0", "0", "-0", ("trailing_comma",)),
        ("0.10000000000000000001", "0.10000000000000000001", "0.10000000000000000001", ("trailing_comma",)),
    ],
)
def test_a_repaired_text_keeps_the_spelling_of_its_numbers(
    sent: str, text: str, spelling: str, repairs: tuple[str, ...]
) -> None:
    parsed = parse_object(f'{{"a": {sent},}}')
    assert isinstance(parsed, Parsed)
    assert (parsed.text, spelling_of(parsed.value["a"]), parsed.repairs) == (f'{{"a": {text}}}', spelling, repairs)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("1", "a number"), ("-0", "a number"), ("1.50", "a number"), ("true", "true or false"), ("null", "null")],
)
def test_a_number_that_keeps_its_spelling_is_called_a_number(text: str, kind: str) -> None:
    found = parse_object(text)
    assert found == Unparsable(reason=f"it is {kind}, not an object", position=None, cut_off=False)


def test_a_valid_object_keeps_its_bytes() -> None:
    text = ' {"b" :1,\n"a":[ 1.50 ]} '
    assert parse_object(text) == Parsed(value={"b": 1, "a": [1.5]}, text=text, repairs=())


def test_a_megabyte_is_parsed_and_a_cut_one_is_refused() -> None:
    whole = json.dumps({"content": 'print("x")\n' * 100_000})
    assert parse_object(whole) == Parsed(value=json.loads(whole), text=whole, repairs=())
    cut = parse_object(whole[:-9])
    assert isinstance(cut, Unparsable)
    assert cut.cut_off


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@quick
@given(st.dictionaries(st.text(), json_values, max_size=5), st.booleans())
def test_a_valid_object_is_never_changed(value: dict, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    parsed = parse_object(text)
    assume(not isinstance(parsed, Unparsable) or "Windows path" not in parsed.reason)
    assert parsed == Parsed(value=value, text=text, repairs=())


sloppy = st.text(alphabet="{}[]\"':,a1x\\u`/*-+.e“” \n\ud800", max_size=30)


@quick
@given(st.one_of(st.text(), sloppy, sloppy.map(lambda inner: '{"a": "' + inner + '"}')))
def test_parse_object_never_raises_and_accepts_only_json(text: str) -> None:
    parsed = parse_object(text)
    if isinstance(parsed, Parsed):
        assert json.loads(parsed.text) == parsed.value
        parsed.text.encode()


@quick
@given(st.dictionaries(st.text(min_size=1), json_values, min_size=1, max_size=4), st.data())
def test_cut_off_text_is_never_accepted(value: dict, data: st.DataObject) -> None:
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(min_value=1, max_value=len(text) - 1))]
    assert isinstance(parse_object(cut), Unparsable)


@quick
@given(st.dictionaries(st.text(min_size=1), json_values, min_size=1, max_size=4), st.data())
def test_a_lost_bracket_comma_colon_or_quote_is_repaired_correctly_or_refused(value: dict, data: st.DataObject) -> None:
    text = json.dumps(value)
    lost = data.draw(st.sampled_from(_structure(text)))
    parsed = parse_object(text[:lost] + text[lost + 1 :])
    assert isinstance(parsed, Unparsable) or parsed.value == value


def _structure(text: str) -> list[int]:
    """Return the indexes of quotes and of structural characters outside strings."""
    found: list[int] = []
    inside = escaped = False
    for at, char in enumerate(text):
        if char == '"' and not escaped:
            inside = not inside
            found.append(at)
        elif not inside and char in "{}[],:":
            found.append(at)
        escaped = char == "\\" and not escaped
    return found


@pytest.mark.parametrize(
    "text",
    [
        "{" + ", ".join(f'"k{at}": {at}' for at in range(40_000)) + ', "k39999": 0}',
        "{" + ", ".join(f"k{at}: {at}" for at in range(20_000)) + ", k19999: 0}",
        '{"a": 1 x' + "</s>" * 20_000,
        '{"a": [' + ", ".join(['"a:\\u000ax"'] * 20_000) + "]}",
    ],
    ids=["twice", "twice, lenient", "marks", "like paths"],
)
def test_a_text_made_to_stall_its_parser_takes_a_moment(text: str):
    """A key that came twice at the end of 8,000 took 1.3 s, 8,000 marks after the object 6 s: both squared."""
    began = time.process_time()
    parse_object(text)
    assert time.process_time() - began < 3
