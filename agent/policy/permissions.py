"""Decide which calls a run may make, must ask a person about, or may not make: by rules, never by the model's text."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import ClassVar, Literal

from pydantic import ConfigDict, JsonValue

from ..errors import ConfigError

Decision = Literal["allow", "ask", "deny"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Permission:
    """One rule; the first that matches a call decides. A call that matches no rule is allowed."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    tool: str
    """The tool's name; * matches any characters, in all patterns."""
    match: Mapping[str, str] = field(default_factory=dict[str, str])
    """Patterns by argument; each must match the whole value. Any run of whitespace counts as one space."""
    do: Decision
    """`allow`, `ask` (a person at the terminal; a denial if there is none) or `deny`."""
    why: str = ""
    """The reason; shown to the person and the model."""

    def __post_init__(self) -> None:
        if not self.tool.strip():
            msg = "`permissions.tool` is empty. Give the name of a tool, or * for all tools."
            raise ConfigError(msg, key="permissions.tool")

    def fits(self, tool: str, arguments: Mapping[str, JsonValue]) -> bool:
        """Return whether the rule matches this call."""
        if not fnmatchcase(tool, self.tool):
            return False
        return all(
            name in arguments and fnmatchcase(_normalized(arguments[name]), _normalized(pattern))
            for name, pattern in self.match.items()
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalRequest:
    """A call that waits for a person's approval."""

    tool: str
    arguments: Mapping[str, JsonValue]
    why: str


Approve = Callable[[ApprovalRequest], Awaitable[bool]]
"""Asks a person; returns True if the call may be made."""

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


def decide(rules: Sequence[Permission], tool: str, arguments: Mapping[str, JsonValue]) -> Permission | None:
    """Return the rule that restricts a call. None means the call is allowed."""
    found = next((rule for rule in rules if rule.fits(tool, arguments)), None)
    return None if found is None or found.do == "allow" else found


def denial(rule: Permission, *, cause: Literal["rule", "no_approver", "refused"]) -> str:
    """Return the text for the model about a call that was not made.

    Args:
        rule: the rule that decided.
        cause: `rule`: the rule denies the call; `no_approver`: no person could be asked; `refused`: a person refused.
    """
    what = {
        "rule": "The permission rules of this run deny this call",
        "no_approver": "This call needs a person's approval, and no person is available",
        "refused": "A person was asked and refused this call",
    }[cause]
    why = f": {rule.why}" if rule.why else ""
    return f"Error: {what}{why}. It was not made. Find another way, or explain in your answer why it is needed."


def _normalized(value: JsonValue) -> str:
    return re.sub(r"\s+", " ", value if isinstance(value, str) else str(value)).strip()
