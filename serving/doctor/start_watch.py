"""Watch the progress of a start by the times in its log, to find one that waits or hangs; reads no clock."""

from dataclasses import dataclass, field

from ..capacity.sizing import EngineName
from ..engines.start_steps import RAY_WAITS, WAITING, step_kind
from .lines import Line
from .prefixes import seconds

_RAY_WAITS_S = 60
"""Ray reports its wait after 10, 30, 70, 150 and 310 s; free GPUs are found at once."""
_STEP_CHARS = 120
_MAX_SEEN = 2000
_MAX_STEPS = 4


@dataclass(frozen=True, kw_only=True)
class _Step:
    key: str
    line: Line
    at_s: float | None
    """The time of the line, or of the last line before it that has one."""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """A start that waits."""

    symptom: str
    values: dict[str, str]
    line: Line


@dataclass(kw_only=True)
class StartWatch:
    """The last step of a start, and how long it has been the last."""

    engine: EngineName | None
    _seen: set[str] = field(default_factory=set[str])
    """Process and text of the lines so far; a process that waits repeats its line word for word."""
    _steps: list[_Step] = field(default_factory=list[_Step])
    """The last steps, the latest at the end."""
    _now_s: float | None = None
    _ray: Wait | None = None

    def read(self, line: Line) -> None:
        """Read one line of a start; a line that a waiting process repeats is no progress."""
        time_s = seconds(line.stamp)
        self._now_s = self._now_s if time_s is None else time_s
        key = f"{line.process} {line.text}"
        repeated = key in self._seen
        if len(self._seen) < _MAX_SEEN:
            self._seen.add(key)
        if repeated and self._steps and self._steps[-1].key == key:
            self._steps.pop()  # Its first appearance was no progress either.
        elif not repeated and not WAITING.search(line.text):
            self._steps = [*self._steps[1 - _MAX_STEPS :], _Step(key=key, line=line, at_s=self._now_s)]
            self._ray = None
        elif (found := RAY_WAITS.search(line.text)) and int(found["s"]) >= _RAY_WAITS_S:
            values = {name: value for name, value in found.groupdict().items() if value}
            self._ray = Wait(symptom="ray_waits", values=values, line=line)

    def result(self) -> Wait | None:
        """Return what the start waits for; None if no step was seen."""
        if self._ray is not None or not self._steps:
            return self._ray
        last = self._steps[-1]
        step = step_kind(last.line.text)
        quiet_s = 0.0 if self._now_s is None or last.at_s is None else self._now_s - last.at_s
        mend = step.sglang_mend if self.engine == "sglang" and step.sglang_mend else step.mend
        text = last.line.text.strip()
        shown = text if len(text) <= _STEP_CHARS else text[:_STEP_CHARS] + "…"
        return Wait(
            symptom="start_hangs" if quiet_s >= step.quiet_s else "not_ready_yet",
            values={"s": f"{quiet_s:.0f}", "step": f"`{shown}`", "usual": step.usual, "mend": mend},
            line=last.line,
        )
