"""Watch the progress of a start by the times in its log, to find one that waits or hangs; reads no clock."""

from dataclasses import dataclass

from ..capacity.sizing import EngineName
from ..engines.start_steps import RAY_WAITS, WAITING, step_kind
from .lines import Line

_RAY_WAITS_S = 60
"""Ray reports its wait after 10, 30, 70, 150 and 310 s; free GPUs are found at once."""
_STEP_CHARS = 120


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
    _step: Line | None = None
    _step_at_s: float | None = None
    _now_s: float | None = None
    _ray: Wait | None = None

    def read(self, line: Line) -> None:
        """Read one line of a start; a line that a waiting process repeats is no progress."""
        self._now_s = self._now_s if line.time_s is None else line.time_s
        if not WAITING.search(line.text):
            self._step, self._step_at_s, self._ray = line, self._now_s, None
        elif (found := RAY_WAITS.search(line.text)) and int(found["s"]) >= _RAY_WAITS_S:
            values = {name: value for name, value in found.groupdict().items() if value}
            self._ray = Wait(symptom="ray_waits", values=values, line=line)

    def result(self) -> Wait | None:
        """Return what the start waits for; None if no step was seen."""
        if self._ray is not None or self._step is None:
            return self._ray
        step = step_kind(self._step.text)
        quiet_s = 0.0 if self._now_s is None or self._step_at_s is None else self._now_s - self._step_at_s
        mend = step.sglang_mend if self.engine == "sglang" and step.sglang_mend else step.mend
        text = self._step.text.strip()
        shown = text if len(text) <= _STEP_CHARS else text[:_STEP_CHARS] + "…"
        return Wait(
            symptom="start_hangs" if quiet_s >= step.quiet_s else "not_ready_yet",
            values={"s": f"{quiet_s:.0f}", "step": f"`{shown}`", "usual": step.usual, "mend": mend},
            line=self._step,
        )
