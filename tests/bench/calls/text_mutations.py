"""Damage the text of a call without changing its meaning, or so that nothing may be executed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from calls.judging import Case
from calls.values import Json, text_of


@dataclass(frozen=True, kw_only=True)
class Text:
    """The arguments of a true call."""

    name: str
    value: Json
    text: str


def text_mutations(call: Text, rng: Random) -> Iterator[Case]:
    """Yield the call in other spellings, then calls of which nothing may be executed, then calls written as text."""
    for kind, text in _plain_spellings(call):
        yield Case(kind=f"text: {kind}", arguments=text, right=(call.value,), plain=True)
    for kind, text in _spellings(call):
        yield Case(kind=f"text: {kind}", arguments=text, right=(call.value,))
    for kind, text in _broken(call, rng):
        yield Case(kind=kind, arguments=text)
    yield Case(kind="finish_reason length", arguments=call.text, finish_reason="length")
    yield from _as_text(call, rng)


def _plain_spellings(call: Text) -> Iterator[tuple[str, str]]:
    text, named = call.text, json.dumps(call.name)
    yield "code fence", f"```json\n{text}\n```"
    yield "blanks around", f"\n  {text}\n\n"
    yield "prose before", f"Here are the arguments: {text}"
    yield "end of turn mark after", f"{text}</s>"
    yield "double encoding", json.dumps(text)
    yield "triple encoding", json.dumps(json.dumps(text))
    yield "in an array", f"[{text}]"
    yield "in arguments", f'{{"arguments": {text}}}'
    yield "in name and arguments", f'{{"name": {named}, "arguments": {text}}}'
    yield "in arguments as text", f'{{"arguments": {json.dumps(text)}}}'
    if not call.value:
        yield "nothing", ""
        yield "null", "null"
    if call.value:
        yield "trailing comma", f"{text[:-1]},}}"
        yield "comment", f"{text[:-1]} /* all of them */}}"
        yield "first line a comment", f"{{ // the arguments\n{text[1:]}"
    if "'" not in text and "\\" not in text and '"' in text:
        yield "single quotes", text.replace('"', "'")
    if re.search(r"[:\[,] (?:true|false)\b", text) and not re.search(r'"[^"]*\b(?:true|false|null)\b[^"]*"', text):
        changed = re.sub(r"\btrue\b", "True", text)
        yield "Python words", re.sub(r"\bnull\b", "None", re.sub(r"\bfalse\b", "False", changed))
    if call.value and all(re.fullmatch(r"[A-Za-z_]\w*", key) for key in call.value):
        yield "keys without quotes", "{" + ", ".join(_members(call.value, quoted=False)) + "}"
    if len(call.value) > 1:
        members = list(_members(call.value, quoted=True))
        kind = "comma missing after a text" if isinstance(next(iter(call.value.values())), str) else "comma missing"
        yield kind, "{" + " ".join((members[0], ", ".join(members[1:]))) + "}"


def _members(value: Json, *, quoted: bool) -> Iterator[str]:
    for key, item in value.items():
        yield f"{json.dumps(key, ensure_ascii=False) if quoted else key}: {text_of(item)}"


def _spellings(call: Text) -> Iterator[tuple[str, str]]:
    """Yield spellings that a careful reader may refuse."""
    yield "byte order mark", f"\ufeff{call.text}"
    yield "no-break space", call.text.replace(": ", ":\u00a0", 1)
    yield "in another key", f'{{"input": {call.text}}}'
    yield "brace too many", f"{call.text}}}"
    yield "as an assignment", f"arguments = {call.text}"
    if '"' in call.text and "\\" not in call.text:
        yield "typographic quotes", re.sub(r'"([^"]*)"', "“\\1”", call.text)
    if '"' in call.text:
        yield "quotes escaped", call.text.replace('"', '\\"')
        yield "quotes doubled", call.text.replace('"', '""')


def _broken(call: Text, rng: Random) -> Iterator[tuple[str, str]]:
    text = call.text
    for index in sorted(rng.sample(range(1, len(text)), min(4, len(text) - 1))):
        yield "cut off", text[:index]
    yield "cut off", json.dumps(text)[:-1]
    yield "cut off", f"```json\n{text[:-1]}\n```"
    yield "cut off", f'{{"name": {json.dumps(call.name)}, "arguments": {text[:-1]}'
    yield "two objects", text + text
    yield "two objects", f"{text}\n{text}"
    yield "two objects", f"{text}, {{}}"
    yield "two objects", f"[{text}, {text}]"
    yield "a list of pairs", json.dumps([[key, 1] for key in call.value])
    yield "prose only", "I would call the tool with these arguments."
    if call.value:
        key = rng.choice(list(call.value))
        spelt = json.dumps(key, ensure_ascii=False)
        yield "key twice, values differ", f'{text[:-1]}, {spelt}: "something else"}}'
        yield "key twice, values differ", f"{{{spelt}: null, {text[1:]}"
        for word in ("NaN", "Infinity", "-Infinity", "undefined", "--5", "0x", "1.2.3", "٣", "5 km"):
            yield (
                "no JSON value",
                "{"
                + ", ".join(
                    f"{json.dumps(name, ensure_ascii=False)}: {word}" if name == key else member
                    for name, member in zip(call.value, _members(call.value, quoted=True), strict=True)
                )
                + "}",
            )


def _as_text(call: Text, rng: Random) -> Iterator[Case]:
    named = f'{{"name": {json.dumps(call.name)}, "arguments": {call.text}}}'
    forms = (
        ("mistral", f"[TOOL_CALLS]{call.name}[ARGS]{call.text}"),
        ("mistral list", f"[TOOL_CALLS][{named}]"),
        ("hermes", f"<tool_call>\n{named}\n</tool_call>"),
        ("fenced", f"I will call the tool.\n```json\n{named}\n```"),
        ("bare", named),
    )
    for kind, content in forms:
        right = (call.value,)
        yield Case(
            kind=f"as text: {kind}", arguments="", content=content, finish_reason="stop", right=right, plain=True
        )
        yield Case(kind="as text, finish_reason length", arguments="", content=content, finish_reason="length")
        begin = content.index("{") + 1
        end = content.rindex("}")
        cut = content[: rng.randint(begin, end)]
        if cut.count("{") > cut.count("}") and call.text not in cut:  # once the arguments are whole, so is the call
            yield Case(kind="as text, cut off", arguments="", content=cut, finish_reason="stop")
    quoted = f"The model may answer with\n```json\n{named}\n```\nand the server then runs it. Shall I do that?"
    yield Case(kind="as text, quoted in prose", arguments="", content=quoted, finish_reason="stop")
