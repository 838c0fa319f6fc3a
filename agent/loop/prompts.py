"""Texts that the loop sends to the model, and notices for the user; decides nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from ..names import listed
from ..policy.ladder import Trigger
from ..policy.permissions import Permission

SYSTEM_PROMPT = (
    "You are an agent that works in a folder with tools. Do the task step by step, check your work, "
    "and when it is done, answer in one sentence without calling a tool."
)

EMPTY_REPLY = (
    "Your last reply was empty. Call a tool to go on with the task, or, if it is done, answer in one sentence."
)

ANSWER_IN_REASONING = (
    "Your last reply held only reasoning and no answer. Call a tool to go on, or write the answer itself."
)

CUT_OFF = (
    "Your last reply was cut off: it used up the {max_tokens} tokens there was room for, so nothing of it was used. "
    "Be shorter. Split long content into several smaller calls."
)

CUT_OFF_WHILE_REASONING = (
    "Your last reply was cut off while you were still reasoning: it used up the {max_tokens} tokens there was room "
    "for. Reason less, then call a tool or answer."
)

GIVE_FINAL_RESULT = "Give the result by calling final_result; text alone does not end this task."

CALL_WAS_FORCED = "Your last reply was a text. Call {tool} instead: only that call ends this task."

DUPLICATE_CALL = "This call is the same as an earlier one of the same reply, which was run once. See its result."

NOT_MADE = "Interrupted: the run was stopped before this call was made. Send it again if it is still needed."

INTERRUPTED = (
    "Interrupted: the run was stopped while this call was under way, so its effect is unknown. "
    "Check the state before you call it again."
)

ARGUMENTS_LOST = (
    "Interrupted: the run was stopped before this call was made, and its arguments held a secret, which is not kept. "
    "Send the call again."
)

SAME_AGAIN = (
    "(You made this very call before, and its result is the same. Calling it once more will not change it: do "
    "something else.)"
)

# What a climb tells the model, by trigger. The other triggers have told it already: in the result of the call, or in
# the feedback about the reply or the verification.
CLIMBED: Mapping[Trigger, str] = MappingProxyType(
    {
        "tool_error": (
            "Several steps in a row failed; the last: {reason}. Find out why before you try again: look at the files "
            "and the exact message, then act."
        ),
        "repeat": (
            "You are repeating calls whose results you already have, and nothing has changed in between. Think again "
            "about what you know, then do something new: make the next change, test it, or give your answer."
        ),
        "no_progress": (
            "Your last steps brought nothing new. Think again about what you know and what is missing, then take a "
            "step that can bring it, or give your answer."
        ),
    }
)

# What stands in place of a result that was folded, below the line of its call.
FOLDED = "(This result was left out to make room. Call it again if you need it.)"
FOLDED_READ = (
    "(This result was left out to make room. Call it again to see the file as it is now; "
    "as it was then, it is in {file}.)"
)
FOLDED_IN = "(This result was left out to make room. As it was then, it is whole in {file}: read the parts you need.)"
FOLDED_IMAGES = "(These images were left out to make room. Call the tool again to see them.)"

# What the model is asked before a conversation that filled the window gives way to a new one.
SUM_UP = (
    "This conversation fills the context window and is restarted after your next message. Write down now, for "
    "yourself, what you need to go on: what you found out, with file names and line numbers; what you decided and why; "
    "what is done, what is left, what did not work. You will keep the task, your changes as a diff if they are few, "
    "your last calls and the results of the very last ones, so leave those out. Write plain text, at most 400 words, "
    "and call no tool."
)
NOTES_ARE_KEPT = " Your notes are kept too: do not repeat them."

FILLED = "it filled the context window"
CONTEXT_FULL = "the conversation filled the context window before the task was done"

# Why a conversation is renewed, as a clause for the model, by trigger.
RENEWED_BECAUSE: Mapping[Trigger, str] = MappingProxyType(
    {
        "verify_failed": "the work that you submitted failed the verification",
        "repeat": "you repeated calls whose results you already had",
        "no_progress": "several steps brought nothing new",
        "tool_error": "several steps in a row failed ({reason})",
        "invalid_call": "your calls were invalid ({reason})",
        "unknown_tool": "you called tools that do not exist ({reason})",
        "empty_reply": "your replies were empty",
        "truncated": "your replies were cut off",
        "answer_in_reasoning": "your answers arrived only as reasoning",
    }
)


def cannot_hide(patterns: Sequence[str]) -> str:
    """Return the result of a command that would reach what a permission rule keeps from it."""
    return (
        f"Error: The permission rules of this run keep commands out of {', '.join(patterns)}, and its sandbox cannot. "
        "The command was not run. Use the tools for files, or explain in your answer why a command is needed."
    )


def path_unclear(error: Exception) -> str:
    """Return the result of a call of which it could not be found out which paths it reaches."""
    return (
        f"Error: It could not be found out which paths this call reaches, and the permission rules of this run are "
        f"about paths: {error}. The call was not made. If a process of yours replaces files, stop it; then call again."
    )


def path_restricted(path: str, rule: Permission) -> str:
    """Return why a call could not open a path that it reached by the name of another one, such as by a symlink."""
    why = f": {rule.why}" if rule.why else ""
    return f'it leads to "{path}", and the permission rules of this run are about "{rule.match.get("path", "*")}"{why}'


def with_hidden(text: str, hidden: Sequence[Path], workspace: Path) -> str:
    """Return the result of a command with the paths that it could not see, if there are any."""
    names = [path.relative_to(workspace).as_posix() for path in hidden if path.is_relative_to(workspace)]
    if not names:
        return text
    ended = text if text.endswith("\n") else f"{text}\n"
    return f"{ended}[{listed(names, 5)}: hidden from commands by the permission rules of this run]"


# Appended to the prompt of a branch if the prompts name the folder of the run.
BRANCH_FOLDER = (
    "In this attempt the folder is {folder}: use it wherever another folder is named as the one you work in."
)

# Notices for the user, shown at most once per run.

CALL_WAS_RESCUED = (
    "The server left a tool call in the reply's {where} instead of tool_calls; it was extracted and used. The server's "
    "tool parser does not match the model: for Mistral on vLLM, start it with --tool-call-parser mistral "
    "--enable-auto-tool-choice --tokenizer-mode mistral."
)

THOUGHTS_IN_CONTENT = (
    "The server left the model's thoughts in the text of a reply; they were separated from the answer. Start the "
    "server with the reasoning parser of the model, such as vLLM's --reasoning-parser."
)

NO_USAGE = (
    "The server sends no usage, so token counts and token budgets are an estimate: about 3 bytes per token, reasoning "
    "that the server does not send not included."
)

REASK_REFUSED = (
    "The server cannot constrain a reply to a tool's schema, so an invalid call gets feedback but no constrained "
    "re-ask: {reason}"
)

# SGLang's Mistral reasoning parser does this if the model does not reason again after a tool result (SGLang PR 26716).
ANSWER_TAKEN_FROM_REASONING = (
    "The server put the answer into the reasoning field twice in a row, so the answer was taken from there. The "
    "server's reasoning parser does not match the model: check the answer."
)

STOPPED_COMMANDS = (
    "Before {before}, these background commands of yours were stopped: {commands}. Start them again if you need them."
)
STOPPED_COMMANDS_NOTICE = "Background commands were stopped before {before}: {commands}."
