"""Make up conversations in which a bug is found and repaired: every result in them is what the tools really said."""

import re
from dataclasses import dataclass, replace
from random import Random

from pocket.exchange import Exchange, Turn
from pocket.world.bugs import LineEdit, line_edit
from pocket.world.desk import Desk
from pocket.world.examples import Example, outcomes
from pocket.world.ideas import Ideas
from pocket.world.projects import Project
from pocket.world.wording import EARLY, GAVE_UP, NOTHING_TO_DO, REASONS, done, prompt

MOST_TRIES = 4
"""Repairs that fail in one story."""
_MOST_TRACE_CHARS = 300


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A call with a wrong value, as a failing test shows it."""

    example: Example
    got: object

    def words(self, function: str) -> str:
        """Name the call, as in `total(3, 4)`."""
        return f"{function}({', '.join(map(repr, self.example.arguments))})"


class Story:
    """Plays one project's repair; which detours it takes is decided at the start."""

    def __init__(self, rng: Random, desk: Desk, project: Project) -> None:
        self._rng = rng
        self._desk = desk
        self._project = project
        self._ideas = Ideas(rng, project)
        self._source = project.faulty
        self._tried: list[str] = []
        """Sources that were edited in and did not help."""
        self._turns: list[Turn] = []
        self._exchanges: list[Exchange] = []
        self._user = prompt(rng, project.command)

    def tell(self) -> tuple[Exchange, ...] | None:
        """Play it. None: a detour led nowhere, or a step is too hard to reckon."""
        rng = self._rng
        if rng.random() < 0.15 and not self._earlier_attempt():
            return None
        failure = self._look()
        if failure is None:
            return None
        if rng.random() < 0.06:
            failure = self._handed_in(EARLY)
        wrong = rng.choices(range(MOST_TRIES + 1), weights=[46, 26, 15, 8, 5])[0]
        for attempt in range(wrong):
            if failure is None:
                return None
            failure = self._fail(failure, last=attempt == MOST_TRIES - 1)
        if failure is None or not self._repair(failure):
            return None
        self._turns += [self._tests("I should run the tests again.", passing=True), self._says(done(self._project))]
        self._exchanges.append(Exchange(user=self._user, turns=tuple(self._turns)))
        return tuple(self._exchanges)

    def drill(self) -> Exchange | None:
        """Play the repair alone: what fails and the module are in the question. None: it is too hard to reckon."""
        failure, user = self._failure(), self._question()
        if failure is None or not user or not self._repair(failure):
            return None
        end = Turn(think="", text=f"I changed {self._project.path}.", learned=False)
        return Exchange(user=user, turns=(*self._turns, end))

    def dead_end(self) -> Exchange | None:
        """Play the search where no one change is enough, asked as in `drill`. None: one is, or it takes too long."""
        others = [one.source for one in self._ideas.repairs(self._source) if one.source != self._project.correct]
        if not others:
            return None
        self._source = self._rng.choice(others)
        self._desk.put(self._source)
        failure, user = self._failure(), self._question()
        guess = self._ideas.guess(self._source, failure.example, self._tried, line=1) if failure is not None else None
        searched = self._ideas.search(self._source, failure.example, self._tried) if failure is not None else None
        if failure is None or guess is None or searched is None or searched.source is not None or not user:
            return None
        think = f"{self._looking(failure, guess)}{searched.told} None of them."
        return Exchange(user=user, turns=(Turn(think=think, text=GAVE_UP, guesses=guess[:1]),))

    def _question(self) -> str:
        """Ask for a repair with all that there is to know. Empty: pytest shows it in another way."""
        printed = self._desk.tests(self._project.command, passing=False).result
        shown = re.search(r"^    def test_.*?(?=\n\n\S+:\d+: )", printed, re.MULTILINE | re.DOTALL)
        return f"Fix {self._project.path}.\n\n{shown[0]}\n\n{self._desk.text()}" if shown else ""

    # The parts of a story.

    def _look(self) -> Failure | None:
        """Run the tests, find the module and read it."""
        project = self._project
        failure = self._failure()
        self._turns.append(self._tests("I should run the tests."))
        if failure is None:
            return None
        fact = f"{failure.words(project.function)} is {failure.got!r}, not {failure.example.value!r}."
        if self._rng.random() < 0.05:
            self._turns.append(self._refused(fact))
        if "/" in project.path:
            find: dict[str, object] = {"pattern": f"def {project.function}"}
            self._turns.append(self._does(f"{fact} I should find {project.function}.", "search", find))
            fact = f"It is in {project.path}."
        self._turns.append(self._does(f"{fact} I should read {project.path}.", "read_file", {"path": project.path}))
        return failure

    def _refused(self, fact: str) -> Turn:
        """A call that the harness does not let through."""
        path = self._project.path
        bad: list[tuple[str, dict[str, object]]] = [
            ("read", {"path": path}), ("raed_file", {"path": path}), ("open_file", {"path": path}),
            ("read_file", {"file": path}), ("read_file", {}), ("read_file", {"path": path, "start_line": 0}),
            ("search", {"query": self._project.function}), ("run_shell", {"cmd": self._project.command}),
        ]  # fmt: skip
        name, arguments = self._rng.choice(bad)
        return replace(self._does(fact, name, arguments), learned=False)

    def _fail(self, failure: Failure, *, last: bool) -> Failure | None:
        """Make a repair that does not help; what fails then."""
        self._put_back()
        chosen = self._ideas.wrong_change(self._source, failure.example, self._tried)
        if chosen is None:
            return None
        edit = line_edit(self._source, chosen.source)
        steps = self._steps(chosen.source, failure)
        if edit is None or steps is None:
            return None
        think = f"{self._now(failure)} Try {edit.new.strip()}: {steps}. Yes."
        self._edit(think, chosen.source, learned=False)
        self._tried.append(chosen.source)
        after = self._failure()
        if after is None:
            return None
        self._turns.append(self._tests("I should run the tests again."))
        return self._handed_in(GAVE_UP) if last else after

    def _handed_in(self, text: str) -> Failure | None:
        """End with the bug still there, and be told so, which is not to be learned; what the hidden tests show."""
        self._turns.append(replace(self._says(text), learned=False))
        self._exchanges.append(Exchange(user=self._user, turns=tuple(self._turns)))
        self._turns = []
        self._user = self._desk.verification(len(self._exchanges))
        return self._failure(hidden=True)

    def _repair(self, failure: Failure) -> bool:
        """Think, and repair; False: it is too hard to think through."""
        project = self._project
        self._put_back()
        edit = line_edit(self._source, project.correct)
        steps = self._steps(project.correct, failure)
        if edit is None or steps is None or self._now(failure) == "":
            return False
        guess = (
            self._ideas.guess(self._source, failure.example, self._tried, line=edit.line)
            if self._rng.random() < 0.5
            else None
        )
        searched = self._ideas.search(self._source, failure.example, self._tried) if guess else None
        if guess and searched and searched.source is not None:
            think, source = f"{self._looking(failure, guess)}{searched.told}", searched.source
        else:
            think, source = f"{self._now(failure)} Try {edit.new.strip()}: {steps}. Yes.", project.correct
            guess = None
        if self._rng.random() < 0.1:
            self._miss(think, edit)
        self._edit(think, source, learned=True, guesses=guess[:1] if guess else ())
        return True

    def _earlier_attempt(self) -> bool:
        """Let an attempt fail before the conversation begins, and tell of it as a fresh context does."""
        failure = self._look()
        for _ in range(self._rng.choice([1, 2])):
            failure = None if failure is None else self._fail(failure, last=False)
        if failure is None:
            return False
        calls = [call for turn in self._turns for call in turn.calls]
        told = self._desk.summary(calls, self._rng.choice(REASONS))
        self._user = f"{self._user}\n\n{told}"
        self._turns, self._source = [], self._project.faulty
        self._desk.begin_again()
        return True

    # One step.

    def _says(self, text: str) -> Turn:
        return Turn(think="The tests pass." if text == done(self._project) else "I have no other idea.", text=text)

    def _tests(self, think: str, *, passing: bool = False) -> Turn:
        return Turn(think=think, calls=(self._desk.tests(self._project.command, passing=passing),))

    def _does(self, think: str, name: str, arguments: dict[str, object]) -> Turn:
        return Turn(think=think, calls=(self._desk.call(name, arguments),))

    def _edit(self, think: str, source: str, *, learned: bool, guesses: tuple[str, ...] = ()) -> None:
        arguments = unique_edit(self._desk.text(), self._project.with_source(source))
        assert arguments is not None, "the sources differ in one line"
        turn = self._does(think, "edit_file", {"path": self._project.path, **arguments})
        self._turns.append(replace(turn, learned=learned, guesses=guesses))
        self._desk.put(source)
        self._source = source

    def _put_back(self) -> None:
        """Undo a repair that did not help, so that one change is always enough."""
        if self._source != self._project.faulty:
            self._edit("That did not help. I should put the line back.", self._project.faulty, learned=True)

    def _miss(self, think: str, edit: LineEdit) -> None:
        """Name a text that is not there, or comes twice."""
        text, old = self._desk.text(), edit.old.strip()
        if text.count(old) < 2:
            changed = [f"{old}:", old.replace("return", "returns"), f" {old} ", edit.new.strip(), edit.new.strip()]
            old = self._rng.choice(changed)
        if text.count(old) == 1:
            return
        # Most often it is the new text that is given for the old one.
        arguments: dict[str, object] = {"path": self._project.path, "old": old, "new": edit.new.strip()}
        self._turns.append(replace(self._does(think, "edit_file", arguments), learned=False))

    # What is known.

    def _failure(self, *, hidden: bool = False) -> Failure | None:
        project = self._project
        examples = project.checked if hidden else project.visible
        values = outcomes([self._source, project.partner], project.function, examples)
        for example, value in zip(examples, values, strict=True):
            if value != example.value or type(value) is not type(example.value):
                return None if isinstance(value, str) else Failure(example=example, got=value)
        return None

    def _steps(self, source: str, failure: Failure) -> str | None:
        found = self._project.worked_out(source, failure.example.arguments)
        return None if found is None or len(found[0]) > _MOST_TRACE_CHARS else found[0]

    def _now(self, failure: Failure) -> str:
        steps = self._steps(self._source, failure)
        wanted = f"{failure.words(self._project.function)} must be {failure.example.value!r}."
        return f"{wanted} Now {steps}." if steps is not None else ""

    def _looking(self, failure: Failure, guess: tuple[str, str]) -> str:
        return f"{self._now(failure)}{guess[0]} {guess[1]}. No. I should try all in order."


def healthy(rng: Random, desk: Desk, project: Project) -> tuple[Exchange, ...]:
    """Find that there is nothing to repair."""
    desk.put(project.correct)
    turns = (
        Turn(think="I should run the tests.", calls=(desk.tests(project.command, passing=True),)),
        Turn(think="The tests pass.", text=NOTHING_TO_DO),
    )
    return (Exchange(user=prompt(rng, project.command), turns=turns),)


def unique_edit(before: str, after: str) -> dict[str, object] | None:
    """Return `old` and `new` for edit_file: the changed line, with as many lines around as make it unique."""
    edit = line_edit(before, after)
    if edit is None:
        return None
    lines = before.split("\n")
    pairs = [[edit.old.strip(), edit.new.strip()], [edit.old, edit.new]]
    for above, below in ((1, 0), (0, 1), (2, 0), (1, 1), (2, 1), (3, 1)):
        head, tail = lines[max(0, edit.line - above) : edit.line], lines[edit.line + 1 : edit.line + 1 + below]
        pairs.append(["\n".join([*head, line, *tail]).strip() for line in (edit.old, edit.new)])
    return next(({"old": old, "new": new} for old, new in pairs if old != new and before.count(old) == 1), None)
