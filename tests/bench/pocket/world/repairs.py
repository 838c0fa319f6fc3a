"""Generate conversations in which a bug is found and repaired; every tool result in them is real."""

import re
from dataclasses import dataclass, replace
from random import Random

from pocket.exchange import Exchange, Turn
from pocket.world.bugs import LineEdit, line_edit
from pocket.world.candidate_fixes import CandidateFixes
from pocket.world.examples import Example, outcomes
from pocket.world.live_project import LiveProject
from pocket.world.projects import Project
from pocket.world.wording import EARLY, GAVE_UP, NOTHING_TO_DO, REASONS, done, prompt

MAX_FAILED_REPAIRS = 4
"""Failed repairs in one session."""
_MAX_TRACE_CHARS = 300


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A call with a wrong value, as a failing test shows it."""

    example: Example
    got: object

    def call_text(self, function: str) -> str:
        """Format the call, for example `total(3, 4)`."""
        return f"{function}({', '.join(map(repr, self.example.arguments))})"


class RepairSession:
    """Generates the repair of one project, with random detours."""

    def __init__(self, rng: Random, live: LiveProject, project: Project) -> None:
        self._rng = rng
        self._live = live
        self._project = project
        self._fixes = CandidateFixes(rng, project)
        self._source = project.faulty
        self._tried: list[str] = []
        """Sources of failed repairs."""
        self._turns: list[Turn] = []
        self._exchanges: list[Exchange] = []
        self._user = prompt(rng, project.command)

    def play(self) -> tuple[Exchange, ...] | None:
        """Return the whole conversation. None if a detour has no continuation or a step is too hard to trace."""
        rng = self._rng
        if rng.random() < 0.15 and not self._earlier_attempt():
            return None
        failure = self._find_failure()
        if failure is None:
            return None
        if rng.random() < 0.06:
            failure = self._hand_in(EARLY)
        wrong = rng.choices(range(MAX_FAILED_REPAIRS + 1), weights=[46, 26, 15, 8, 5])[0]
        for attempt in range(wrong):
            if failure is None:
                return None
            failure = self._wrong_repair(failure, last=attempt == MAX_FAILED_REPAIRS - 1)
        if failure is None or not self._repair(failure):
            return None
        self._turns += [
            self._run_tests("I should run the tests again.", passing=True),
            self._answer(done(self._project)),
        ]
        self._exchanges.append(Exchange(user=self._user, turns=tuple(self._turns)))
        return tuple(self._exchanges)

    def drill(self) -> Exchange | None:
        """Return only the edit; the question holds the failure and the module. None if it is too hard to trace."""
        failure, user = self._first_failure(), self._question()
        if failure is None or not user or not self._repair(failure):
            return None
        end = Turn(think="", text=f"I changed {self._project.path}.", learned=False)
        return Exchange(user=user, turns=(*self._turns, end))

    def dead_end(self) -> Exchange | None:
        """Return a search that finds no repair, with the question of `drill`. None if it finds one or is too long."""
        others = [one.source for one in self._fixes.repairs(self._source) if one.source != self._project.correct]
        if not others:
            return None
        self._source = self._rng.choice(others)
        self._live.set_source(self._source)
        failure, user = self._first_failure(), self._question()
        guess = self._fixes.guess(self._source, failure.example, self._tried, line=1) if failure is not None else None
        search = self._fixes.search(self._source, failure.example, self._tried) if failure is not None else None
        if failure is None or guess is None or search is None or search.source is not None or not user:
            return None
        think = f"{self._wrong_guess(failure, guess)}{search.text} None of them."
        return Exchange(user=user, turns=(Turn(think=think, text=GAVE_UP, guesses=guess[:1]),))

    def _question(self) -> str:
        """Return a request with the failing test and the module. Empty if pytest prints the failure in another form."""
        printed = self._live.run_tests(self._project.command, passing=False).result
        shown = re.search(r"^    def test_.*?(?=\n\n\S+:\d+: )", printed, re.MULTILINE | re.DOTALL)
        return f"Fix {self._project.path}.\n\n{shown[0]}\n\n{self._live.text()}" if shown else ""

    # The parts of a session.

    def _find_failure(self) -> Failure | None:
        """Run the tests, find the module and read it."""
        project = self._project
        failure = self._first_failure()
        self._turns.append(self._run_tests("I should run the tests."))
        if failure is None:
            return None
        fact = f"{failure.call_text(project.function)} is {failure.got!r}, not {failure.example.value!r}."
        if self._rng.random() < 0.05:
            self._turns.append(self._invalid_call(fact))
        if "/" in project.path:
            find: dict[str, object] = {"pattern": f"def {project.function}"}
            self._turns.append(self._call(f"{fact} I should find {project.function}.", "search", find))
            fact = f"It is in {project.path}."
        self._turns.append(self._call(f"{fact} I should read {project.path}.", "read_file", {"path": project.path}))
        return failure

    def _invalid_call(self, fact: str) -> Turn:
        """Return a turn with a call that the harness rejects."""
        path = self._project.path
        bad: list[tuple[str, dict[str, object]]] = [
            ("read", {"path": path}), ("raed_file", {"path": path}), ("open_file", {"path": path}),
            ("read_file", {"file": path}), ("read_file", {}), ("read_file", {"path": path, "start_line": 0}),
            ("search", {"query": self._project.function}), ("run_shell", {"cmd": self._project.command}),
        ]  # fmt: skip
        name, arguments = self._rng.choice(bad)
        return replace(self._call(fact, name, arguments), learned=False)

    def _wrong_repair(self, failure: Failure, *, last: bool) -> Failure | None:
        """Make a repair that does not help; return what fails then."""
        self._revert()
        chosen = self._fixes.wrong_change(self._source, failure.example, self._tried)
        if chosen is None:
            return None
        edit = line_edit(self._source, chosen.source)
        steps = self._steps(chosen.source, failure)
        if edit is None or steps is None:
            return None
        think = f"{self._current_steps(failure)} Try {edit.new.strip()}: {steps}. Yes."
        self._edit(think, chosen.source, learned=False)
        self._tried.append(chosen.source)
        after = self._first_failure()
        if after is None:
            return None
        self._turns.append(self._run_tests("I should run the tests again."))
        return self._hand_in(GAVE_UP) if last else after

    def _hand_in(self, text: str) -> Failure | None:
        """Add an answer while the bug is still there, excluded from training; return what the hidden tests show."""
        self._turns.append(replace(self._answer(text), learned=False))
        self._exchanges.append(Exchange(user=self._user, turns=tuple(self._turns)))
        self._turns = []
        self._user = self._live.verification(len(self._exchanges))
        return self._first_failure(hidden=True)

    def _repair(self, failure: Failure) -> bool:
        """Reason and repair. False if the steps are too hard to trace."""
        project = self._project
        self._revert()
        edit = line_edit(self._source, project.correct)
        steps = self._steps(project.correct, failure)
        if edit is None or steps is None or self._current_steps(failure) == "":
            return False
        guess = (
            self._fixes.guess(self._source, failure.example, self._tried, line=edit.line)
            if self._rng.random() < 0.5
            else None
        )
        search = self._fixes.search(self._source, failure.example, self._tried) if guess else None
        if guess and search and search.source is not None:
            think, source = f"{self._wrong_guess(failure, guess)}{search.text}", search.source
        else:
            think, source = f"{self._current_steps(failure)} Try {edit.new.strip()}: {steps}. Yes.", project.correct
            guess = None
        if self._rng.random() < 0.1:
            self._failed_edit(think, edit)
        self._edit(think, source, learned=True, guesses=guess[:1] if guess else ())
        return True

    def _earlier_attempt(self) -> bool:
        """Generate a failed earlier attempt and put its summary into the request, as a fresh context does."""
        failure = self._find_failure()
        for _ in range(self._rng.choice([1, 2])):
            failure = None if failure is None else self._wrong_repair(failure, last=False)
        if failure is None:
            return False
        calls = [call for turn in self._turns for call in turn.calls]
        summary = self._live.summary(calls, self._rng.choice(REASONS))
        self._user = f"{self._user}\n\n{summary}"
        self._turns, self._source = [], self._project.faulty
        self._live.reset()
        return True

    # Single turns.

    def _answer(self, text: str) -> Turn:
        return Turn(think="The tests pass." if text == done(self._project) else "I have no other idea.", text=text)

    def _run_tests(self, think: str, *, passing: bool = False) -> Turn:
        return Turn(think=think, calls=(self._live.run_tests(self._project.command, passing=passing),))

    def _call(self, think: str, name: str, arguments: dict[str, object]) -> Turn:
        return Turn(think=think, calls=(self._live.call(name, arguments),))

    def _edit(self, think: str, source: str, *, learned: bool, guesses: tuple[str, ...] = ()) -> None:
        arguments = unique_edit(self._live.text(), self._project.with_source(source))
        assert arguments is not None, "the sources differ in one line"
        turn = self._call(think, "edit_file", {"path": self._project.path, **arguments})
        self._turns.append(replace(turn, learned=learned, guesses=guesses))
        self._live.set_source(source)
        self._source = source

    def _revert(self) -> None:
        """Undo a failed repair, so that a single change is always enough."""
        if self._source != self._project.faulty:
            self._edit("That did not help. I should put the line back.", self._project.faulty, learned=True)

    def _failed_edit(self, think: str, edit: LineEdit) -> None:
        """Add a failed edit_file call whose `old` does not occur or occurs twice."""
        text, old = self._live.text(), edit.old.strip()
        if text.count(old) < 2:
            changed = [f"{old}:", old.replace("return", "returns"), f" {old} ", edit.new.strip(), edit.new.strip()]
            old = self._rng.choice(changed)
        if text.count(old) == 1:
            return
        # The most frequent variant gives the new text as `old`.
        arguments: dict[str, object] = {"path": self._project.path, "old": old, "new": edit.new.strip()}
        self._turns.append(replace(self._call(think, "edit_file", arguments), learned=False))

    # The current state.

    def _first_failure(self, *, hidden: bool = False) -> Failure | None:
        project = self._project
        examples = project.checked if hidden else project.visible
        values = outcomes([self._source, project.partner], project.function, examples)
        for example, value in zip(examples, values, strict=True):
            if value != example.value or type(value) is not type(example.value):
                return None if isinstance(value, str) else Failure(example=example, got=value)
        return None

    def _steps(self, source: str, failure: Failure) -> str | None:
        found = self._project.trace_call(source, failure.example.arguments)
        return None if found is None or len(found[0]) > _MAX_TRACE_CHARS else found[0]

    def _current_steps(self, failure: Failure) -> str:
        steps = self._steps(self._source, failure)
        wanted = f"{failure.call_text(self._project.function)} must be {failure.example.value!r}."
        return f"{wanted} Now {steps}." if steps is not None else ""

    def _wrong_guess(self, failure: Failure, guess: tuple[str, str]) -> str:
        return f"{self._current_steps(failure)}{guess[0]} {guess[1]}. No. I should try all in order."


def no_bug(rng: Random, live: LiveProject, project: Project) -> tuple[Exchange, ...]:
    """Return a conversation in which all tests pass and there is nothing to repair."""
    live.set_source(project.correct)
    turns = (
        Turn(think="I should run the tests.", calls=(live.run_tests(project.command, passing=True),)),
        Turn(think="The tests pass.", text=NOTHING_TO_DO),
    )
    return (Exchange(user=prompt(rng, project.command), turns=turns),)


def unique_edit(before: str, after: str) -> dict[str, object] | None:
    """Return `old` and `new` for edit_file: the changed line, with enough lines around it to make it unique."""
    edit = line_edit(before, after)
    if edit is None:
        return None
    lines = before.split("\n")
    pairs = [[edit.old.strip(), edit.new.strip()], [edit.old, edit.new]]
    for above, below in ((1, 0), (0, 1), (2, 0), (1, 1), (2, 1), (3, 1)):
        head, tail = lines[max(0, edit.line - above) : edit.line], lines[edit.line + 1 : edit.line + 1 + below]
        pairs.append(["\n".join([*head, line, *tail]).strip() for line in (edit.old, edit.new)])
    return next(({"old": old, "new": new} for old, new in pairs if old != new and before.count(old) == 1), None)
