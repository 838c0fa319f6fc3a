"""Separate a model's thoughts from its text where the server did not; quoted marks stay in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .code_spans import outside_code


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitText:
    """A text without the thoughts in it."""

    thoughts: str
    """Empty if there are none."""
    rest: str
    """The text for the user; with the calls, if the model wrote some as text."""
    is_open: bool = False
    """True if the thoughts never end, so that nothing follows them."""


def split_thoughts(text: str) -> SplitText:
    """Split the content of a reply into its thoughts and the rest.

    Thoughts begin at the start of the text or of a line, outside code. A closing mark alone at the end of a line also
    ends thoughts whose opening mark is in the prompt, as in the chat templates of DeepSeek R1 and Qwen 3.
    """
    thoughts: list[str] = []
    rest: list[str] = []
    at, is_open = 0, False
    first = _unopened_end(text)
    if first is not None:
        thoughts.append(text[: first.start()])
        at = first.end()
    while (opened := _next_open(text, at, anywhere=bool(thoughts))) is not None:
        before = text[at : opened.start()]
        rest.append("" if _BEFORE.match(before) else before)
        closed = _CLOSE[_kind(opened)].search(text, opened.end())
        is_open = closed is None
        thoughts.append(text[opened.end() : len(text) if closed is None else closed.start()])
        at = len(text) if closed is None else closed.end()
    if not thoughts:
        return SplitText(thoughts="", rest=text)
    rest.append(text[at:])
    joined = "\n\n".join(part.strip() for part in thoughts if part.strip())
    return SplitText(thoughts=joined, rest="".join(rest).strip(), is_open=is_open)


# The marks of Qwen 3, DeepSeek R1, GLM, MiniMax and many more; Seed-OSS; Mistral; Kimi-VL; Cohere; gpt-oss (their chat
# templates, read 2026-11). The last three words are used by models that were asked to think, and by Gemini.
_MARKS = {
    "tag": (r"<(?:think|seed:think|thinking|thought)>", r"</(?:think|seed:think|thinking|thought)>"),
    "mistral": (r"\[THINK\]", r"\[/THINK\]"),
    "kimi": (r"◁think▷", r"◁/think▷"),
    "cohere": (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    "gpt_oss": (
        r"(?:<\|start\|>assistant)?<\|channel\|>analysis<\|message\|>",
        r"(?:<\|end\|>)?(?:<\|start\|>assistant)?(?:<\|channel\|>final<\|message\|>|(?=<\|channel\|>))|<\|end\|>",
    ),
}
_OPEN = re.compile("|".join(f"(?P<{kind}>{opening})" for kind, (opening, _) in _MARKS.items()))
_CLOSE = {kind: re.compile(closing) for kind, (_, closing) in _MARKS.items()}
# Nobody writes the marks that are single tokens; a tag may be quoted in a sentence.
_UNOPENED = re.compile(
    r"\[/THINK\]|◁/think▷|<\|END_THINKING\|>|^</(?:seed:)?think>|</(?:seed:)?think>[ \t]*$", re.MULTILINE
)
_BEFORE = re.compile(r"(?:\s|</?s>|<\|im_start\|>|<\|assistant\|>)*\Z")


def _kind(opened: re.Match[str]) -> str:
    return next(kind for kind in _MARKS if opened.group(kind) is not None)


def _unopened_end(text: str) -> re.Match[str] | None:
    """Return the closing mark of thoughts that begin with the text, without a mark of their own."""
    found = next(outside_code(text, _UNOPENED), None)
    if found is None or not text[: found.start()].strip():
        return None
    opened = _OPEN.search(text)
    return found if opened is None or opened.start() > found.start() else None


def _next_open(text: str, at: int, *, anywhere: bool) -> re.Match[str] | None:
    """Return the next opening mark; the first must begin the text, a later one a line."""
    for opened in outside_code(text, _OPEN):
        if opened.start() < at:
            continue
        before = text[at : opened.start()]
        if _BEFORE.match(before) or (anywhere and not before.rpartition("\n")[2].strip()):
            return opened
    return None
