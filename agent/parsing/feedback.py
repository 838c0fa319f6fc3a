"""Format the feedback that the model gets about an invalid call; decides nothing."""

from __future__ import annotations

from typing import assert_never, cast

from ..tooling.tool import Tool
from ..tooling.toolbox import Toolbox
from .validation import InvalidCall
from .wording import describe_issue, example_arguments, quoted, schema_note


def feedback(invalid: InvalidCall, *, attempt: int, same_as_before: bool, toolbox: Toolbox) -> str:
    """Return what was wrong, what was expected and what to do now, as text for the model.

    Args:
        invalid: the invalid call.
        attempt: number of consecutive invalid calls of this tool, including this one; shown from 2 on.
        same_as_before: the same call failed before; the text then adds an example and a way out.
        toolbox: the tools of the run.
    """
    is_known = invalid.tool is not None and invalid.kind != "unknown_tool"
    name = quoted(invalid.call.name if is_known else invalid.raw.name)
    times = f" (attempt {attempt})" if attempt > 1 else ""
    wrong = _what_is_wrong(invalid, name, times, toolbox)
    if not same_as_before:
        between = "\n" if "\n" in wrong else " "
        return f"{wrong}{between}{_what_to_do(invalid)}"
    repeated = f"The very same call to {name} has failed before, in the same way. Sent again, it will fail again."
    return f"{repeated}\n{wrong}\n{_way_out(invalid)}"


_MAX_ISSUES = 10


def _what_is_wrong(invalid: InvalidCall, name: str, times: str, toolbox: Toolbox) -> str:
    match invalid.kind:
        case "unknown_tool":
            near = " or ".join(f'"{known}"' for known in invalid.nearest)
            hint = f" Did you mean {near}?" if near else ""
            return f"Unknown tool {name}{times}.{hint} Available: {', '.join(toolbox.names) or 'none'}."
        case "cut_off":
            return f"Arguments for {name} end early{times}: they stop at {quoted(invalid.raw.arguments[-60:])}."
        case "unparsable":
            return f"Arguments for {name} are not a JSON object{times}: {invalid.reason}."
        case "mismatch":
            return _mismatch_words(invalid, name, times)
        case _:
            assert_never(invalid.kind)


def _mismatch_words(invalid: InvalidCall, name: str, times: str) -> str:
    tool = cast("Tool", invalid.tool)
    words = [describe_issue(issue, tool) + schema_note(issue, tool) for issue in invalid.issues[:_MAX_ISSUES]]
    if len(invalid.issues) > _MAX_ISSUES:
        words.append(f"and {len(invalid.issues) - _MAX_ISSUES} more")
    if len(words) == 1:
        return f"Arguments for {name} do not match{times}: {words[0]}."
    return f"Arguments for {name} do not match{times}:" + "".join(f"\n- {word}" for word in words)


def _what_to_do(invalid: InvalidCall) -> str:
    match invalid.kind:
        case "unknown_tool":
            return "Call one of these."
        case "cut_off":
            return "Send the call again with complete arguments; split long content into several smaller calls."
        case "unparsable":
            return "Send the arguments as one JSON object."
        case "mismatch":
            return "Send the call again."
        case _:
            assert_never(invalid.kind)


def _way_out(invalid: InvalidCall) -> str:
    example = "" if invalid.tool is None else example_arguments(invalid.tool)
    shown = f"{quoted(invalid.tool.name)} accepts, for example: {example}\n" if invalid.tool and example else ""
    return f"{shown}Change the call, or do something else: call another tool, or say what is in the way."
