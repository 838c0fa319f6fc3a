"""Generate small projects with tests, in which one function has a bug that a small change repairs; runs no tests."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from pocket.world.bugs import BUG_KINDS, HELD_OUT, BugKind, Change, LineEdit, changes, line_edit
from pocket.world.examples import (
    Arguments,
    Example,
    differing,
    hidden_of,
    outcomes,
    parsed,
    pool_of,
    trace_chars,
    visible_of,
)
from pocket.world.functions import FAMILIES, Family, Function, generate_function, shape
from pocket.world.names import Names, Split
from pocket.world.tracing import TooHardError, trace

_MIN_POOL = 5
_TEST_PART = 8
"""One function shape in this many belongs to the test split."""

# Families in which a kind of bug is possible; kinds not listed here are possible almost everywhere.
_FITTING: Mapping[BugKind, tuple[Family, ...]] = {
    "comparison": ("branches", "truth", "loop"), "inverted_condition": ("branches", "truth", "loop"),
    "reversed_comparison": ("branches", "truth", "loop"), "exchanged_branches": ("branches",),
    "off_by_one": ("counting",), "wrong_base_case": ("recursion",), "wrong_index": ("item",),
    "wrong_builtin": ("builtin",), "swapped_arguments": ("calling",), "wrong_boolean": ("truth",),
    "wrong_start": ("loop", "counting"), "early_return": ("loop", "counting"),
    "lost_accumulation": ("loop", "counting"),
}  # fmt: skip

_ALONE: tuple[Family, ...] = tuple(family for family in FAMILIES if family != "calling")


@dataclass(frozen=True, kw_only=True)
class Project:
    """A small project with one bug."""

    kind: BugKind
    files: Mapping[str, str]
    """Path to text: modules, including the one with the bug, and the visible tests."""
    hidden: Mapping[str, str]
    """Path to text: tests hidden from the model."""
    path: str
    """Path of the module with the bug."""
    function: str
    """Name of the function that the failing test calls."""
    faulty: str
    """Source of the function with the bug: `function` or the helper that it calls."""
    correct: str
    """Source of the same function without the bug."""
    partner: str
    """Source of the other of the two functions; empty if there is no helper."""
    repair: LineEdit | None
    """The edit within the function that undoes the bug. None if that takes more than one line."""
    visible: tuple[Example, ...]
    """The calls that the visible test of the function asserts, in order."""
    checked: tuple[Example, ...]
    """The calls that the hidden test asserts, in order."""
    test_path: str
    command: str
    """The command that runs the tests."""

    def wrong_values(self, source: str) -> list[tuple[Example, object]]:
        """Return the visible calls that the function gets wrong with this source, each with the wrong value."""
        found: list[tuple[Example, object]] = []
        for example in self.visible:
            (value,) = outcomes([source, self.partner], self.function, [example])
            if value != example.value or type(value) is not type(example.value):
                found.append((example, value))
        return found

    def trace_call(self, source: str, arguments: Arguments) -> tuple[str, object] | None:
        """Return the steps of a call in words, and its value. None if it is too hard."""
        try:
            return trace(parsed([source, self.partner]), self.function, arguments)
        except TooHardError:
            return None

    def with_source(self, source: str) -> str:
        """Return the module's text with this source in place of the faulty function."""
        return self.files[self.path].replace(self.faulty, source)


def generate_project(rng: Random, split: Split, kind: BugKind | None = None) -> Project:
    """Generate one project.

    Args:
        rng: the only source of randomness.
        split: decides the names and function shapes; `train` has no held-out kinds of bugs.
        kind: the kind of bug. None means any kind.
    """
    wanted: BugKind = kind or rng.choice([one for one in BUG_KINDS if split == "test" or one not in HELD_OUT])
    while True:
        names = Names(rng, split)
        made = generate_function(rng, names, _FITTING.get(wanted, FAMILIES))
        if _split_of(made) != split:
            continue
        seeded = _seed_bug(rng, made, wanted)
        if seeded is not None:
            return _assemble(rng, split, names, made, seeded)


def _split_of(made: Function) -> Split:
    sources = [made.source, *([made.helper.source] if made.helper else [])]
    return "test" if any(zlib.crc32(shape(one).encode()) % _TEST_PART == 0 for one in sources) else "train"


@dataclass(frozen=True, kw_only=True)
class _Seeded:
    change: Change
    correct: str
    partner: str
    visible: tuple[Example, ...]
    hidden: tuple[Example, ...]


def _seed_bug(rng: Random, made: Function, kind: BugKind) -> _Seeded | None:
    """Break the function or its helper and choose the calls that show the bug. None if this attempt fails."""
    broken, partner = made, made.helper
    if made.helper is not None and kind != "swapped_arguments" and rng.random() < 0.5:
        broken, partner = made.helper, made
    found = [one for one in changes(broken.source) if one.kind == kind]
    if not found:
        return None
    change = rng.choice(found)
    other = partner.source if partner else ""
    pool = pool_of(rng, made, [broken.source, other])
    if len(pool) < _MIN_POOL:
        return None

    def values(source: str) -> list[object]:
        return outcomes([source, other], made.name, pool)

    got = values(change.source)
    wrong = differing(pool, got)
    if len(wrong) < 2 or any(isinstance(value, str) for value in got):
        return None
    rivals = [differing(pool, values(one.source)) for one in changes(change.source)]
    rivals = [rival for rival in rivals if rival]  # a change that gets every call right is a repair too
    easy = {at: trace_chars([change.source, other], made.name, pool[at]) for at in wrong}
    visible = visible_of(rng, pool, easy, rivals)
    if visible is None:
        return None
    hidden = hidden_of(rng, pool, wrong, rivals)
    correct = broken.source
    return _Seeded(
        change=change, correct=correct, partner=other, visible=tuple(pool[at] for at in visible),
        hidden=tuple(pool[at] for at in hidden),
    )  # fmt: skip


def _assemble(rng: Random, split: Split, names: Names, made: Function, seeded: _Seeded) -> Project:
    nested = rng.random() < 0.25
    module = names.module()
    folder = f"{names.folder()}/" if nested else ""
    path = f"{folder}{module}.py"
    pair = [seeded.change.source, *([seeded.partner] if seeded.partner else [])]
    bodies = ["\n\n\n".join(reversed(pair) if made.helper and made.source != pair[-1] else pair)]
    tests = [_test(made.name, seeded.visible)]
    imports = [made.name]
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        names, other, examples = _without_bug(rng, split, names)
        at = rng.randint(0, len(bodies))
        bodies.insert(at, other.source)
        tests.insert(rng.randint(0, len(tests)), _test(other.name, examples))
        imports.append(other.name)
    files = {path: "\n\n\n".join(bodies) + "\n"}
    test_path = f"{'tests/' if nested else ''}test_{module}.py"
    files[test_path] = _test_file(path, imports, tests)
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        names, other, examples = _without_bug(rng, split, names)
        name = names.module()
        files[f"{folder}{name}.py"] = other.source + "\n"
        files[f"{'tests/' if nested else ''}test_{name}.py"] = _test_file(
            f"{folder}{name}.py", [other.name], [_test(other.name, examples)]
        )
    hidden = {f"test_{module}.py": _test_file(path, [made.name], [_test(made.name, seeded.hidden)])}
    return Project(
        kind=seeded.change.kind, files=files, hidden=hidden, path=path, function=made.name,
        faulty=seeded.change.source, correct=seeded.correct, partner=seeded.partner,
        repair=line_edit(seeded.change.source, seeded.correct), visible=seeded.visible,
        checked=seeded.hidden, test_path=test_path,
        command="python -m pytest -q",
    )  # fmt: skip


def _without_bug(rng: Random, split: Split, names: Names) -> tuple[Names, Function, list[Example]]:
    """Generate a function without a bug and calls of it; return them after the remaining names."""
    while True:
        left = names.copy()
        made = generate_function(rng, left, _ALONE)
        if _split_of(made) != split:
            continue
        pool = pool_of(rng, made, [made.source])
        if len(pool) > 2:
            return left, made, pool[: rng.choice([1, 1, 2])]


def _test(name: str, examples: Sequence[Example]) -> str:
    lines = [f"def test_{name}():"]
    for example in examples:
        call = f"{name}({', '.join(map(repr, example.arguments))})"
        sign = "is" if isinstance(example.value, bool) else "=="
        lines.append(f"    assert {call} {sign} {example.value!r}")
    return "\n".join(lines)


def _test_file(path: str, imports: Sequence[str], tests: Sequence[str]) -> str:
    module = path.removesuffix(".py").replace("/", ".")
    head = f"from {module} import {', '.join(sorted(imports))}\n"
    return head + "".join(f"\n\n{test}\n" for test in tests)
