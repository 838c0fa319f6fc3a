"""Write the default system prompt of a run from facts about it; pure.

What is the same for every run comes first and what differs comes last, so that runs share a cached prefix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..policy.verification import Verify
from ..sandbox import Sandbox
from ..sandbox.rules import TMP
from ..tooling.final_result import FINAL_TOOL
from ..workspace.instructions import Instructions, shorten_instructions
from . import prompts
from .window import LIKELY_BYTES_PER_TOKEN

HIDDEN_TESTS = "AGENT_TASK_DIR"
"""A verification that uses this variable runs files of the task's folder, which the model does not see."""

_INSTRUCTIONS_SHARE = 0.1
"""Of the window: they stay in the prompt for good."""

_GENERAL = (
    "You work on a task with tools, on your own: nobody can answer questions. Do the whole task, check your work, "
)
_ENDING = "then answer in a few sentences without calling a tool. That answer submits the work."
_RESULT_ENDING = f"then call {FINAL_TOOL} with the result. That call submits the work."
_WORKING = """\
- Call several tools in one reply if the calls do not depend on each other; they run in order.
- Read what you need: prefer search, outline and line ranges to whole files.
- A long result is cut in the middle; it names the file under .agent/outputs that holds the whole, to be read in parts.
- An error in a result is information: read it, then act on it. Do not repeat a call whose result you have.
- After a change, test it and look at the diff before you answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """What a model has to know about its run."""

    workspace: str
    """Absolute path. Empty if the run has no folder to work in."""
    is_git: bool = False
    kind: str = ""
    """What the folder is, such as `a copy of the project`; empty if it is the project itself."""
    sandbox: Sandbox | None = None
    """None if no tool starts commands."""
    python: str = ""
    """Path of the Python that commands use. Empty if there is none."""
    window_tokens: int | None = None
    has_processes: bool = False
    """Whether the model can start background processes with a tool."""
    verify: Verify | None = None
    can_renew: bool = False
    """Whether the conversation may restart with a summary."""
    instructions: Instructions | None = None
    wants_result: bool = False
    """Whether the run ends with a call of `final_result` instead of a text answer."""


def system_prompt(facts: RunFacts) -> str:
    """Return the system prompt for a capable model."""
    opening = _GENERAL + (_RESULT_ENDING if facts.wants_result else _ENDING)
    if not facts.workspace:
        return "\n".join([opening, *_lines(facts)])
    parts = [f"{opening}\n{_WORKING}"]
    if facts.instructions is not None:
        parts.append(_instructions(facts.instructions, facts.window_tokens))
    parts.append("\n".join(["This run:", *_lines(facts)]))
    return "\n\n".join(parts)


def _instructions(found: Instructions, window_tokens: int | None) -> str:
    """Return the project's instructions; in a small window, no more of them than leaves room to work."""
    if window_tokens is not None:
        found = shorten_instructions(found, int(window_tokens * LIKELY_BYTES_PER_TOKEN * _INSTRUCTIONS_SHARE))
    cut = "\n[... the rest is cut: read the file for it]" if found.is_cut else ""
    if found.headings:
        cut = f"{cut[:-1]}. It is about: {'; '.join(found.headings)}]"
    return f"Instructions of this project ({found.path}):\n{found.text}{cut}"


def trained_system_prompt() -> str:
    """Return the system prompt that the pocket model was trained on."""
    return prompts.SYSTEM_PROMPT


def _lines(facts: RunFacts) -> Iterator[str]:
    if facts.workspace:
        yield _folder(facts)
    if facts.sandbox is not None:
        yield _commands(facts.sandbox, has_processes=facts.has_processes)
        if facts.python:
            yield (
                f"- Python: {facts.python}. Set PYTHONPATH for a script outside the folder that imports its packages."
            )
    if facts.window_tokens is not None:
        after = (
            " When it is full, old results are left out; then it restarts with a summary." if facts.can_renew else ""
        )
        yield f"- Window: {facts.window_tokens:,} tokens for the whole conversation.{after}"
    if facts.verify is not None:
        yield _verification(facts.verify, can_renew=facts.can_renew)


def _folder(facts: RunFacts) -> str:
    kind = f", {facts.kind}" if facts.kind else ""
    if not facts.is_git:
        git = "It is not a git repository."
    elif facts.sandbox is not None and facts.sandbox.isolation == "bubblewrap":
        git = (
            "It is a git repository: log, show, blame and diff work; .git is read-only, so commit, stash and checkout "
            "of another branch fail."
        )
    else:
        git = "It is a git repository. Do not commit, stash or switch branches unless the task asks for it."
    return f"- Folder: {facts.workspace}{kind}; paths are relative to it. {git}"


def _commands(sandbox: Sandbox, *, has_processes: bool) -> str:
    lasting = "Each command starts anew in the folder, and its background processes end with it"
    if sandbox.isolation == "none":
        return f"- Commands: {lasting}."
    network = "The network is open." if sandbox.rules.network else "There is no network: nothing can be installed."
    server = "; use start_process for a server" if has_processes else ""
    scratch, not_tmp = ("$TMPDIR", " (not /tmp)") if sandbox.isolation == "landlock" else (str(TMP), "")
    return (
        f"- Commands: {lasting}{server}. {network} Only the folder and {scratch} can be "
        f"changed{not_tmp}. {scratch} is HOME too; it keeps its files until the run ends, then they are removed."
    )


def _verification(verify: Verify, *, can_renew: bool) -> str:
    hidden = HIDDEN_TESTS in verify.command or verify.show != "all"
    what = "tests that you cannot see check the work" if hidden else f"`{verify.command}` checks the work"
    more = " They may check more than the task names." if hidden else ""
    attempts = "one attempt" if verify.attempts == 1 else f"{verify.attempts} attempts"
    restored = (
        " After repeated failures the changes may be taken back; they are then saved under .agent/attempts."
        if can_renew and verify.attempts > 1
        else ""
    )
    return f"- Verification: after your answer, {what}; you have {attempts}.{more}{restored}"
