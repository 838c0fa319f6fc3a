"""Decide which calls a run may make, must ask a person about, or may not make: by rules, never by the model's text."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import ClassVar, Literal, get_args

from pydantic import ConfigDict, JsonValue

from ..choices import check_choice
from ..errors import ConfigError
from ..keywords import checked_keywords
from ..nearest import did_you_mean, nearest
from .command_words import commands_in
from .targets import Target, covered, overlaps

Decision = Literal["allow", "ask", "deny"]


@checked_keywords(
    elsewhere={
        "action": "The decision is `do`: allow, ask or deny.",
        "decision": "The decision is `do`: allow, ask or deny.",
        "arguments": "The patterns of arguments are `match`.",
        "reason": "The reason is `why`.",
    }
)
@dataclass(frozen=True, kw_only=True, slots=True)
class Permission:
    """One rule; the first that matches a call decides. A call that matches no rule is allowed.

    Attributes:
        tool: The tool's name; * matches any characters, in all patterns.
        match: Patterns by argument; each must match the whole value. Any run of whitespace counts as one space. `path`
            is matched with each path that the call reaches, relative to the workspace and with symlinks followed; what
            it denies is also hidden from sandboxed commands. `command` is matched with the text and with each command
            in it.
        do: `allow`, `ask` (a person at the terminal; a denial if there is none) or `deny`.
        why: The reason; shown to the person and the model.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    tool: str
    match: Mapping[str, str] = field(default_factory=dict[str, str])
    do: Decision
    why: str = ""

    def __post_init__(self) -> None:
        if not self.tool.strip():
            msg = "`permissions.tool` is empty. Give the name of a tool, or * for all tools."
            raise ConfigError(msg, key="permissions.tool")
        check_choice(self.do, get_args(Decision), key="permissions.do")
        if _ALTERNATIVES.search(path := self.match.get("path", "")):
            msg = f"`permissions.match.path` is {path!r}, but a pattern has no {{a,b}}. Write a rule for each."
            raise ConfigError(msg, key="permissions.match.path")

    def names(self, tool: str) -> bool:
        """Return whether the rule is about this tool. What restricts `run_shell` also restricts `start_process`."""
        if fnmatchcase(tool, self.tool):
            return True
        return (
            self.do != "allow" and tool in _SHELL_TOOLS and any(fnmatchcase(name, self.tool) for name in _SHELL_TOOLS)
        )

    def fits(
        self, tool: str, arguments: Mapping[str, JsonValue], targets: Sequence[Target] = (), *, workspace: str = ""
    ) -> bool:
        """Return whether the rule matches this call.

        A rule that allows must match everything that the call does, one that restricts a part of it.

        Args:
            tool: the tool's name.
            arguments: of the call.
            targets: the paths that the call reads or writes.
            workspace: absolute path of the folder that they are relative to.
        """
        return self.names(tool) and all(
            self._fits_path(pattern, arguments, targets, workspace)
            if name == "path"
            else name in arguments and self._fits_value(name, arguments[name], pattern)
            for name, pattern in self.match.items()
        )

    def _fits_path(
        self, pattern: str, arguments: Mapping[str, JsonValue], targets: Sequence[Target], workspace: str
    ) -> bool:
        is_equal = "path" in arguments and fnmatchcase(_normalized(arguments["path"]), _normalized(pattern))
        if self.do == "allow":
            return all(covered(target, pattern, workspace) for target in targets) if targets else is_equal
        return is_equal or any(overlaps(target, pattern, workspace) for target in targets)

    def _fits_value(self, name: str, value: JsonValue, pattern: str) -> bool:
        pattern = _normalized(pattern)
        is_whole = fnmatchcase(_normalized(value), pattern)
        if name != "command" or not isinstance(value, str):
            return is_whole
        found = [any(fnmatchcase(_normalized(form), pattern) for form in forms) for forms in commands_in(value)]
        if self.do == "allow":
            # `git *` allows no command after `git status;`, unless the pattern itself names several.
            return is_whole and (all(found) or re.search(r"[;&|>]", pattern) is not None)
        return is_whole or any(found)


_ALTERNATIVES = re.compile(r"\{[^{}]*,[^{}]*\}")
_SHELL_TOOLS = ("run_shell", "start_process")


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalRequest:
    """A call that waits for a person's approval.

    Attributes:
        tool: The tool's name.
        arguments: Of the call.
        why: The reason of the rule. Empty if it has none.
        paths: What it reaches, relative to the workspace and with symlinks followed; everything below a path that ends
            with a slash. Empty if no rule of the run is about a path.
    """

    tool: str
    arguments: Mapping[str, JsonValue]
    why: str
    paths: Sequence[str] = ()


Approve = Callable[[ApprovalRequest], "bool | Awaitable[bool]"]
"""Asks a person; returns True if the call may be made. May be async."""

_DESTRUCTIVE = (
    ("*rm -[rf]*", "it deletes without asking"), ("*rm --recursive*", "it deletes without asking"),
    ("*sudo *", "it runs as another user"), ("*git push*", "it changes a history that others use"),
    ("*git reset --hard*", "it discards changes"), ("*git clean*", "it deletes untracked files"),
    ("*git checkout -- *", "it discards changes"), ("*mkfs*", "it erases a disk"),
    ("*dd *of=*", "it overwrites a disk or a file"), ("*> /dev/[shnv]d*", "it overwrites a disk"),
    ("*chmod -R *", "it changes the permissions of many files"), ("*chown -R *", "it changes the owner of many files"),
    ("*curl *|*sh*", "it runs what it downloads"), ("*wget *|*sh*", "it runs what it downloads"),
    ("*shutdown*", "it stops the machine"), ("*reboot*", "it stops the machine"),
    ("*kill -9 -1*", "it kills every process"), ("*docker *prune*", "it deletes containers or volumes"),
    ("*find *-delete*", "it deletes without asking"), ("*truncate *", "it empties files"),
    ("*shred *", "it destroys files"), ("*crontab *", "it outlasts the run"),
)  # fmt: skip
DESTRUCTIVE: tuple[Permission, ...] = tuple(
    Permission(tool=tool, match={"command": pattern}, do="ask", why=why)
    for tool in ("run_shell", "start_process")
    for pattern, why in _DESTRUCTIVE
)
"""Commands that need approval where they are not sandboxed. A hint for people, not a security boundary: a shell has a
hundred other ways to do the same, and only a sandbox stops those."""


def check_rules(
    rules: Sequence[Permission], arguments: Mapping[str, Collection[str] | None], *, elsewhere: Collection[str] = ()
) -> None:
    """Check that each rule can match a call of the run, because a rule with a typo would protect nothing.

    A pattern of tools may match none, and so may the name of a known tool that this run does not have.

    Args:
        rules: of the user.
        arguments: names of the arguments of the run's tools, by tool. None means that a tool takes any.
        elsewhere: names of known tools that the run need not have.

    Raises:
        ConfigError: a rule names no tool, or an argument that no tool it is about has.
    """
    for rule in rules:
        named = [names for tool, names in arguments.items() if rule.names(tool)]
        is_pattern = any(sign in rule.tool for sign in "*?[")
        if not named and not is_pattern and rule.tool not in elsewhere:
            msg = f"`permissions` has a rule for the tool {rule.tool!r}, but the run has no such tool."
            raise ConfigError(msg + (did_you_mean(rule.tool, arguments) or " Remove it."), key="permissions.tool")
        if not named or None in named:
            continue
        known = sorted({name for names in named for name in names or ()})
        for name in sorted(rule.match.keys() - {"path", *known}):
            if nearest(name, known) is None and is_pattern:
                continue  # tools that are added later may have it
            msg = f"`permissions` has a rule for {rule.tool!r} that matches {name!r}, which is no argument of it."
            raise ConfigError(msg + (did_you_mean(name, known) or " It has none."), key="permissions.match")


def decide(
    rules: Sequence[Permission], tool: str, arguments: Mapping[str, JsonValue], targets: Sequence[Target] = (), *,
    workspace: str = "",
) -> Permission | None:  # fmt: skip
    """Return the rule that restricts a call. None means the call is allowed."""
    found = next((rule for rule in rules if rule.fits(tool, arguments, targets, workspace=workspace)), None)
    return None if found is None or found.do == "allow" else found


def denial(
    rule: Permission, *, cause: Literal["rule", "no_approver", "refused"], targets: Sequence[Target] = ()
) -> str:
    """Return the text for the model about a call that was not made.

    Args:
        rule: the rule that decided.
        cause: `rule`: the rule denies the call; `no_approver`: no person could be asked; `refused`: a person refused.
        targets: the paths that the call reads or writes.
    """
    what = {
        "rule": "The permission rules of this run deny this call",
        "no_approver": "This call needs a person's approval, and no person is available",
        "refused": "A person was asked and refused this call",
    }[cause]
    why = f": {rule.why}" if rule.why else ""
    where = ""
    if "path" in rule.match:
        where = f' The rule is about the path "{rule.match["path"]}".'
        if wide := next((target.forms[0] for target in targets if target.below), None):
            where += f' The call reads everything below "{wide}": give a narrower path.'
    return f"Error: {what}{why}. It was not made.{where} Find another way, or explain in your answer why it is needed."


def _normalized(value: JsonValue) -> str:
    return re.sub(r"\s+", " ", value if isinstance(value, str) else str(value)).strip()
