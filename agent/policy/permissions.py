"""Decide which calls a run may make: allowed, asked of a person, or denied; by rules, never by the model's words."""

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
    """One rule; of several that fit a call, the first decides. What no rule fits is allowed."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    tool: str
    """The tool's name; * stands for any letters, in all patterns."""
    match: Mapping[str, str] = field(default_factory=dict[str, str])
    """Argument to pattern of its whole value; all must fit. Any run of spaces and line breaks counts as one space."""
    do: Decision
    """`allow`, `ask` (a person at the terminal; where there is none it is a denial) or `deny`."""
    why: str = ""
    """Told to the person and to the model."""

    def __post_init__(self) -> None:
        if not self.tool.strip():
            msg = "`permissions.tool` is empty. Name a tool, or * for all."
            raise ConfigError(msg, key="permissions.tool")

    def fits(self, tool: str, arguments: Mapping[str, JsonValue]) -> bool:
        """Tell whether the rule is about this call."""
        if not fnmatchcase(tool, self.tool):
            return False
        return all(
            name in arguments and fnmatchcase(_plain(arguments[name]), _plain(pattern))
            for name, pattern in self.match.items()
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalRequest:
    """A call that waits for a person."""

    tool: str
    arguments: Mapping[str, JsonValue]
    why: str


Approve = Callable[[ApprovalRequest], Awaitable[bool]]
"""Asks a person; True: the call may be made."""

_DESTRUCTIVE = (
    ("*rm -[rf]*", "it deletes without asking"), ("*rm --recursive*", "it deletes without asking"),
    ("*sudo *", "it acts as another user"), ("*git push*", "it changes a history that others use"),
    ("*git reset --hard*", "it throws changes away"), ("*git clean*", "it deletes files that git does not know"),
    ("*git checkout -- *", "it throws changes away"), ("*mkfs*", "it empties a disk"),
    ("*dd *of=*", "it writes over a disk or a file"), ("*> /dev/[shnv]d*", "it writes over a disk"),
    ("*chmod -R *", "it changes the rights of many files"), ("*chown -R *", "it changes the owner of many files"),
    ("*curl *|*sh*", "it runs what it fetches"), ("*wget *|*sh*", "it runs what it fetches"),
    ("*shutdown*", "it stops the machine"), ("*reboot*", "it stops the machine"), ("*kill -9 -1*", "it ends all"),
    ("*docker *prune*", "it deletes containers or volumes"), ("*find *-delete*", "it deletes without asking"),
    ("*truncate *", "it empties files"), ("*shred *", "it destroys files"), ("*crontab *", "it stays after the run"),
)  # fmt: skip
DESTRUCTIVE: tuple[Permission, ...] = tuple(
    Permission(tool=tool, match={"command": pattern}, do="ask", why=why)
    for tool in ("run_shell", "start_process")
    for pattern, why in _DESTRUCTIVE
)
"""What is asked about where nothing isolates commands. A hint for people, no boundary: a shell has a hundred other ways
to say the same, and only a sandbox stops those."""


def decide(rules: Sequence[Permission], tool: str, arguments: Mapping[str, JsonValue]) -> Permission | None:
    """Return the rule that decides about a call. None: it is allowed."""
    found = next((rule for rule in rules if rule.fits(tool, arguments)), None)
    return None if found is None or found.do == "allow" else found


def denial(rule: Permission, *, asked: Literal["no", "nobody", "refused"]) -> str:
    """Tell the model that a call was not made.

    Args:
        rule: the one that decided.
        asked: `no`: nobody was to be asked; `nobody`: nobody was there to be asked; `refused`: a person said no.
    """
    what = {
        "no": "The rules of this run do not allow this call",
        "nobody": "This call needs the approval of a person, and nobody is there to ask",
        "refused": "The person who was asked did not allow this call",
    }[asked]
    why = f": {rule.why}" if rule.why else ""
    return f"Error: {what}{why}. It was not made. Find another way, or say in your answer why it is needed."


def _plain(value: JsonValue) -> str:
    return re.sub(r"\s+", " ", value if isinstance(value, str) else str(value)).strip()
