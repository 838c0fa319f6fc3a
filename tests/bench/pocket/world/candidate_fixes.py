"""Generate candidate fixes of a function: a wrong guess, a search in a fixed order, a change that does not help."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from pocket.world.bugs import HELD_OUT, Change, LineEdit, changes, line_edit
from pocket.world.examples import Example, differing, outcomes, parsed
from pocket.world.projects import Project
from pocket.world.tracing import steps_of

_MAX_GUESS_CHARS = 150
_MAX_SEARCH_CHARS = 3_000
_WORDS = re.compile(r"\w+|[<>=!]+|[*/]+|.")


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The result of trying changes one by one."""

    text: str
    """The search in words."""
    source: str | None
    """The function that returns the wanted value. None if no change does."""


class CandidateFixes:
    """Candidate fixes of one project's bug."""

    def __init__(self, rng: Random, project: Project) -> None:
        self._rng = rng
        self._project = project

    def guess(self, source: str, example: Example, tried: Sequence[str], *, line: int) -> tuple[str, str] | None:
        """Return a change that does not give the wanted value, mostly at this line, and the steps that show it."""
        for change in self._rivals(source, line):
            edit = line_edit(source, change.source)
            steps = self._project.trace_call(change.source, example.arguments)
            if edit is None or steps is None or change.source in tried:
                continue
            if steps[1] != example.value and len(steps[0]) <= _MAX_GUESS_CHARS:
                return f" Try {edit.new.strip()}:", steps[0]
        return None

    def search(self, source: str, example: Example, tried: Sequence[str]) -> SearchResult | None:
        """Try the changes line by line until one gives the wanted value.

        Each step follows from the one before, so that the model can be trained on all of it. None if the first change
        that gives the value is wrong elsewhere, or if the search takes too long.
        """
        text, line, wanted = "", "", example.value
        for old, edit, sources in self._in_order(source):
            if old != line:
                text, line = f"{text} Line {old.strip()}", old
            text += f" Try {edit.new.strip()}:"
            if sources[0] in tried:
                text += " tried. No."
                continue
            steps, value = steps_of(parsed(sources), self._project.function, example.arguments)
            if value == wanted and type(value) is type(wanted):
                found = SearchResult(text=f"{text} {steps}. Yes.", source=sources[0])
                return found if self._is_repair(sources) else None
            text += f" {steps}. No."
            if len(text) > _MAX_SEARCH_CHARS:
                return None
        return SearchResult(text=text, source=None)

    def _is_repair(self, sources: list[str]) -> bool:
        project = self._project
        examples = (*project.visible, *project.checked)
        values = outcomes(sources, project.function, examples)
        return sources[1] == project.partner and not differing(examples, values)

    def _in_order(self, source: str) -> Iterator[tuple[str, LineEdit, list[str]]]:
        """Yield each change as old line, edit and both sources, starting with the tested function.

        Changes are ordered by line, and within a line by the position of the first changed word.
        """
        pair = [source, self._project.partner]
        places = [0, 1] if f"def {self._project.function}(" in source else [1, 0]
        for place in places if self._project.partner else [0]:
            edits = [(line_edit(pair[place], one.source), one.source) for one in self.repairs(pair[place])]
            known = [(edit, changed) for edit, changed in edits if edit is not None]
            for edit, changed in sorted(known, key=lambda one: (one[0].line, _words_before(one[0]))):
                yield edit.old, edit, [changed, pair[1]] if place == 0 else [pair[0], changed]

    def _rivals(self, source: str, line: int) -> list[Change]:
        found = [one for one in self.repairs(source) if one.source != self._project.correct]
        self._rng.shuffle(found)

        def far(change: Change) -> bool:
            edit = line_edit(source, change.source)
            return edit is None or (edit.line != line and self._rng.random() < 0.8)

        return sorted(found, key=far)

    def wrong_change(self, source: str, example: Example, tried: Sequence[str]) -> Change | None:
        """Choose a change that leaves something wrong, preferably one that gives the wanted value."""
        project = self._project
        if tried and self._rng.random() < 0.3:  # repeat a failed change, as models do; the model must learn to recover
            return Change(kind=project.kind, source=tried[-1])
        found = [one for one in self.repairs(source) if one.source != project.correct]
        self._rng.shuffle(found)
        misleading = [one for one in found if self._value(one.source, example) == example.value]
        for change in [*misleading, *found]:
            if project.wrong_values(change.source):
                return change
        return None

    def repairs(self, source: str) -> list[Change]:
        """Return the plausible repairs: none removes a `return` or an accumulation, or moves a `return` into a loop."""

        def is_plausible(change: Change) -> bool:
            edit = line_edit(source, change.source)
            if change.kind == "missing_return":
                return edit is not None and edit.new.lstrip().startswith("return")
            if change.kind == "early_return":
                return edit is not None and len(edit.new) < len(edit.old)
            return change.kind != "lost_accumulation" or (edit is not None and "+=" in edit.new)

        return [one for one in changes(source) if one.kind not in HELD_OUT and is_plausible(one)]

    def _value(self, source: str, example: Example) -> object:
        return outcomes([source, self._project.partner], self._project.function, [example])[0]


def _words_before(edit: LineEdit) -> int:
    """Return the number of words and signs before the first difference; ties keep the order, likelier changes first."""
    old, new = (_WORDS.findall(line) for line in (edit.old, edit.new))
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (one, two) in pairs if one != two), min(len(old), len(new)))
