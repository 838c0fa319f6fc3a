"""The escalation ladder as data: triggers, rungs, thresholds; the same in task.yaml and in the library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, cast, get_args

from pydantic import ConfigDict

from ..choices import check_choice, check_number
from ..errors import ConfigError
from ..keywords import checked_keywords
from ..messages import Effort

Policy = Literal["failures", "phases", "both"]
"""What moves a run to a higher effort: its failures, the phases of its work, or both."""

Phase = Literal["plan", "work", "hand_in"]
"""Where a run is in its work, for a policy with phases; without one it is always `work`."""

Trigger = Literal[
    "invalid_call", "unknown_tool", "tool_error", "repeat", "no_progress", "empty_reply", "truncated",
    "answer_in_reasoning", "verify_failed",
]  # fmt: skip
"""What can move a run up the ladder."""

CALL_TRIGGERS: frozenset[Trigger] = frozenset({"invalid_call", "unknown_tool"})
"""Triggers that a constrained re-ask can fix, because there is a schema to constrain the reply to."""

LEAST_BRANCHES, MOST_BRANCHES = 2, 16


@checked_keywords()
@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """One way to ask the model.

    Attributes:
        effort: The `reasoning_effort` of requests: none, low, medium or high. One that the model does not know stands
            for its place among those that it knows: lowest, middle, highest. None (null in a task) means that it is not
            sent; on a constrained rung, that the run's effort stays.
        constrained: True repeats the request, constrained to the broken call's schema; the bad reply never enters the
            history.
        fresh_context: True restarts the conversation from a summary.
        restore: With `fresh_context`: which failures also restore the workspace to its snapshot. Only a failed
            verification speaks against files, so other failures keep them; `any` verifies the work after every failure,
            and restores it unless it passes. A run without a verification restores nothing.
        branch: On the last rung: how many new attempts begin at once, each in a copy of the workspace as it was at the
            start; the first whose verification passes is taken. `effort` is that of most of them, by default that of
            the rung before. 0 means none.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    effort: Effort | None = None
    constrained: bool = False
    fresh_context: bool = False
    restore: Literal["verify_failed", "any"] = "verify_failed"
    branch: int = 0

    def __post_init__(self) -> None:
        if self.effort is not None:
            check_choice(self.effort, get_args(Effort), key="ladder.rungs.effort")
        check_choice(self.restore, ("verify_failed", "any"), key="ladder.rungs.restore")
        if not (self.branch == 0 or LEAST_BRANCHES <= self.branch <= MOST_BRANCHES):
            msg = f"`branch` is {self.branch}. Give {LEAST_BRANCHES} to {MOST_BRANCHES} attempts, or 0 for none."
            raise ConfigError(msg, key="ladder.rungs.branch")
        if self.branch and (self.constrained or self.fresh_context):
            msg = "A rung with `branch` begins new conversations: leave out `constrained` and `fresh_context`."
            raise ConfigError(msg, key="ladder.rungs.branch")


_LEAST = {"hold_steps": 1, "no_progress_steps": 1, "max_reasks": 0, "max_effort_switches": 0}


def _default_thresholds() -> Mapping[Trigger, int]:
    # A failed verification proves that the cheap way failed; one broken call is an accident that the constrained re-ask
    # fixes without a change of effort; a tool error often has external causes, so it takes three.
    return {
        "invalid_call": 1, "unknown_tool": 1, "tool_error": 3, "repeat": 2, "no_progress": 1, "empty_reply": 2,
        "truncated": 2, "answer_in_reasoning": 2, "verify_failed": 1,
    }  # fmt: skip


@checked_keywords()
@dataclass(frozen=True, kw_only=True, slots=True)
class Ladder:
    """The rungs of a run from cheap to expensive, what moves it up, and how long it stays.

    Attributes:
        rungs: The ways to ask, in the order in which failures move the run up; after the last one it stops as `stuck`.
        triggers: How many failures of a kind since the last progress move the run up; an omitted kind never does.
        hold_steps: Steps with progress on a higher effort before the run may come down; each switch of effort makes the
            engine prefill the conversation again.
        max_effort_switches: Switches of effort per run, up and down; after them only failures that move the run up
            change the effort.
        max_reasks: Constrained re-asks per run; after them the constrained rung is skipped.
        no_progress_steps: Consecutive steps without a new result before `no_progress` fires.
        policy: What moves the run to a higher effort. `failures`: the rungs, one after the other. `phases`: the first
            rung with another effort is used for the plan, which takes `hold_steps` steps with progress at the start and
            after each failed verification, and before the work is handed in; between them the first rung. Failures do
            not move the run then; it stops after as many as all rungs together would tolerate. `both`: phases, and
            failures move the run up.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    rungs: tuple[Rung, ...] = (
        Rung(effort="none"),
        Rung(effort="none", constrained=True),
        Rung(effort="high"),
        Rung(effort="high", fresh_context=True),
    )
    triggers: Mapping[Trigger, int] = field(default_factory=_default_thresholds)
    hold_steps: int = 4
    max_effort_switches: int = 2
    max_reasks: int = 20
    no_progress_steps: int = 4
    policy: Policy = "failures"

    @property
    def has_phases(self) -> bool:
        """Whether the phases of the work decide about the effort."""
        return self.policy != "failures"

    @property
    def plan_rung(self) -> int:
        """Index of the rung for plans and for handing in: the first with another effort. 0 if there is none."""
        others = (
            at
            for at, rung in enumerate(self.rungs)
            if not (rung.constrained or rung.branch) and rung.effort != self.rungs[0].effort
        )
        return next(others, 0)

    def __post_init__(self) -> None:
        self._check_kinds()
        for trigger in self.triggers:
            check_choice(trigger, get_args(Trigger), key="ladder.triggers")
        check_choice(self.policy, get_args(Policy), key="ladder.policy")
        for key, problem in self._problems():
            raise ConfigError(problem, key=f"ladder.{key}")

    def _check_kinds(self) -> None:
        rungs, triggers = cast("object", self.rungs), cast("object", self.triggers)
        if not isinstance(rungs, Sequence) or not all(isinstance(one, Rung) for one in cast("Sequence[object]", rungs)):
            msg = f"`ladder.rungs` is {rungs!r}. Give rungs, such as [Rung(effort='none')]."
            raise ConfigError(msg, key="ladder.rungs")
        if not isinstance(triggers, Mapping):
            msg = f"`ladder.triggers` is {triggers!r}. Give thresholds by trigger, such as {{'repeat': 2}}."
            raise ConfigError(msg, key="ladder.triggers")
        thresholds = {f"triggers.{name}": value for name, value in self.triggers.items()}
        for name, value in (thresholds | {name: getattr(self, name) for name in _LEAST}).items():
            check_number(value, key=f"ladder.{name}")
            if value is None:
                advice = "Leave it out to disable it." if name in thresholds else "Give a number."
                raise ConfigError(f"`ladder.{name}` is None. {advice}", key=f"ladder.{name}")

    def _problems(self) -> Iterator[tuple[str, str]]:
        """Yield key and text of each mistake."""
        if not self.rungs:
            yield "rungs", "A ladder needs at least one rung, such as {effort: none}."
        elif self.rungs[0].constrained:
            text = "The first rung of a ladder cannot be constrained: there is no broken call yet."
            yield "rungs", f"{text} Put an unconstrained rung before it."
        elif self.rungs[0].branch:
            text = "The first rung of a ladder cannot branch: nothing has failed yet."
            yield "rungs", f"{text} Put a rung before it, such as {{effort: none}}."
        elif self.has_phases and not self.plan_rung:
            effort = f"the effort {self.rungs[0].effort}" if self.rungs[0].effort else "no effort"
            text = f"`policy: {self.policy}` needs two efforts, but every rung that can be used has {effort}."
            yield "policy", f"{text} Give the rungs two efforts of the model, or use `policy: failures`."
        if any(rung.branch for rung in self.rungs[:-1]):
            yield "rungs", "Only the last rung of a ladder can branch: nothing comes after it. Move it to the end."
        for trigger, threshold in self.triggers.items():
            if threshold < 1:
                text = (
                    f"The threshold of `{trigger}` is {threshold}; it must be 1 or more. To disable it, leave it out."
                )
                yield f"triggers.{trigger}", text
        for name, least in _LEAST.items():
            value: int = getattr(self, name)
            if value < least:
                yield name, f"`{name}` is {value}; it must be {least} or more."
