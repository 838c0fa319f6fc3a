"""Think of changes that could repair a function: a guess, a search in a fixed order, a change that does not help."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from pocket.world.bugs import HELD_OUT, Change, LineEdit, changes, line_edit
from pocket.world.examples import Example, differing, outcomes, parsed
from pocket.world.projects import Project
from pocket.world.tracing import steps_of

_MOST_GUESS_CHARS = 150
_MOST_SEARCH_CHARS = 3_000
_WORDS = re.compile(r"\w+|[<>=!]+|[*/]+|.")


@dataclass(frozen=True, kw_only=True)
class Searched:
    """Changes tried one by one."""

    told: str
    source: str | None
    """The function that gives the value. None: no change does."""


class Ideas:
    """What could come to mind about one project's bug."""

    def __init__(self, rng: Random, project: Project) -> None:
        self._rng = rng
        self._project = project

    def guess(self, source: str, example: Example, tried: Sequence[str], *, line: int) -> tuple[str, str] | None:
        """Think of a change that does not give the value, most often at this line; with its steps."""
        for change in self._rivals(source, line):
            edit = line_edit(source, change.source)
            steps = self._project.worked_out(change.source, example.arguments)
            if edit is None or steps is None or change.source in tried:
                continue
            if steps[1] != example.value and len(steps[0]) <= _MOST_GUESS_CHARS:
                return f" Try {edit.new.strip()}:", steps[0]
        return None

    def search(self, source: str, example: Example, tried: Sequence[str]) -> Searched | None:
        """Try change by change, each line in turn, up to one that gives the value.

        Each step follows from the one before, so that all of it can be taught. None: what gives the value first is
        wrong elsewhere, or it takes too long.
        """
        told, line, wanted = "", "", example.value
        for old, edit, sources in self._in_order(source):
            if old != line:
                told, line = f"{told} Line {old.strip()}", old
            told += f" Try {edit.new.strip()}:"
            if sources[0] in tried:
                told += " tried. No."
                continue
            steps, value = steps_of(parsed(sources), self._project.function, example.arguments)
            if value == wanted and type(value) is type(wanted):
                return Searched(told=f"{told} {steps}. Yes.", source=sources[0]) if self._helps(sources) else None
            told += f" {steps}. No."
            if len(told) > _MOST_SEARCH_CHARS:
                return None
        return Searched(told=told, source=None)

    def _helps(self, sources: list[str]) -> bool:
        project = self._project
        examples = (*project.visible, *project.checked)
        values = outcomes(sources, project.function, examples)
        return sources[1] == project.partner and not differing(examples, values)

    def _in_order(self, source: str) -> Iterator[tuple[str, LineEdit, list[str]]]:
        """Yield each change as old line, edit and both sources: the tested function first, from its first word on."""
        pair = [source, self._project.partner]
        places = [0, 1] if f"def {self._project.function}(" in source else [1, 0]
        for place in places if self._project.partner else [0]:
            edits = [(line_edit(pair[place], one.source), one.source) for one in self.repairs(pair[place])]
            known = [(edit, changed) for edit, changed in edits if edit is not None]
            for edit, changed in sorted(known, key=lambda one: (one[0].line, _same_words(one[0]))):
                yield edit.old, edit, [changed, pair[1]] if place == 0 else [pair[0], changed]

    def _rivals(self, source: str, line: int) -> list[Change]:
        found = [one for one in self.repairs(source) if one.source != self._project.correct]
        self._rng.shuffle(found)

        def far(change: Change) -> bool:
            edit = line_edit(source, change.source)
            return edit is None or (edit.line != line and self._rng.random() < 0.8)

        return sorted(found, key=far)

    def wrong_change(self, source: str, example: Example, tried: Sequence[str]) -> Change | None:
        """Choose a change that leaves something wrong; most that come to mind give the value that is wanted."""
        project = self._project
        if tried and self._rng.random() < 0.3:  # the same once more, as happens: it has to get out of that too
            return Change(kind=project.kind, source=tried[-1])
        found = [one for one in self.repairs(source) if one.source != project.correct]
        self._rng.shuffle(found)
        fooling = [one for one in found if self._value(one.source, example) == example.value]
        for change in [*fooling, *found]:
            if project.wrong_values(change.source):
                return change
        return None

    def repairs(self, source: str) -> list[Change]:
        """Return what could come to mind as a repair: nobody takes a `return` away, or an addition out of a loop."""

        def mends(change: Change) -> bool:
            edit = line_edit(source, change.source)
            if change.kind == "missing_return":
                return edit is not None and edit.new.lstrip().startswith("return")
            if change.kind == "early_return":
                return edit is not None and len(edit.new) < len(edit.old)
            return change.kind != "lost_accumulation" or (edit is not None and "+=" in edit.new)

        return [one for one in changes(source) if one.kind not in HELD_OUT and mends(one)]

    def _value(self, source: str, example: Example) -> object:
        return outcomes([source, self._project.partner], self._project.function, [example])[0]


def _same_words(edit: LineEdit) -> int:
    """Count the words and signs before the first that differs; of changes at one place the likelier ones come first."""
    old, new = (_WORDS.findall(line) for line in (edit.old, edit.new))
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (one, two) in pairs if one != two), min(len(old), len(new)))
