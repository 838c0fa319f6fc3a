"""Random runs beside a random user: the model's work is put back only if a verification failed for it, and is saved."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import Agent, EndpointRejected, Ladder, Limits, Outcome, Rung, Sandbox, Tool, ToolError, Verify, tool
from agent.journal.events import (
    CallStarted,
    ContextRenewed,
    Event,
    Moved,
    Requested,
    RunEnded,
    RunStarted,
    Triggered,
    VerifyEnded,
)
from agent.model.profiles import GENERIC, MISTRAL, POCKET, Profile
from agent.policy.ladder import Trigger
from agent.testing import ScriptedModel, calls, says

FULL = EndpointRejected("This model's maximum context length is 2048 tokens.", url="http://x/v1", status=400)
PATHS = ("a.txt", "d/b.txt", "d/c.bin")
ANY = Ladder(
    rungs=(Rung(), Rung(fresh_context=True, restore="any"), Rung(fresh_context=True)),
    triggers={"empty_reply": 1, "tool_error": 1, "repeat": 1, "no_progress": 1, "verify_failed": 1, "truncated": 1},
)

paths = st.sampled_from(["a.txt", *PATHS])
writing = st.tuples(st.sampled_from(["write", "write", "binary", "edit", "remove"]), paths)
call = st.one_of(
    writing,
    st.tuples(st.just("read"), paths),
    st.tuples(st.sampled_from(["scatter", "fail", "invalid"]), st.just("")),
)
action = st.one_of(
    st.lists(call, min_size=1, max_size=3),
    st.sampled_from(["empty", "empty", "truncated", "full", "good", "submit", "submit"]),
)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What happens in one run."""

    actions: Sequence[Any]
    user: Sequence[str | None]
    """What the user writes before each request. None: nothing."""
    profile: Profile
    ladder: Ladder | None
    mode: Literal["in_place", "copy"]
    limits: Limits
    attempts: int
    """0: the work is not verified."""


def scenes(mode: Literal["in_place", "copy"], attempts: st.SearchStrategy[int]) -> st.SearchStrategy[Scene]:
    return st.builds(
        Scene,
        actions=st.tuples(st.lists(writing, max_size=2), st.lists(action, min_size=1, max_size=12)).map(
            lambda both: [*[[each] for each in both[0]], *both[1]]
        ),
        user=st.lists(st.sampled_from([None, "a.txt", *PATHS, "user.txt"]), max_size=12),
        profile=st.sampled_from([MISTRAL, GENERIC, POCKET]),
        ladder=st.sampled_from([None, ANY]),
        mode=st.just(mode),
        limits=st.builds(Limits, steps=st.sampled_from([2, 5, 20, 20]), tool_calls=st.sampled_from([3, 30, 30])),
        attempts=attempts,
    )


@dataclass(kw_only=True)
class World:
    """One run, and what is known of each content in its workspace."""

    scene: Scene
    folder: Path
    workspace: Path = Path()
    numbers: Iterator[int] = field(default_factory=count)
    """Each content is unique."""
    of_model: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """What the model wrote and nobody has overwritten."""
    of_user: dict[str, bytes] = field(default_factory=dict[str, bytes])
    failed: set[tuple[str, bytes]] = field(default_factory=set[tuple[str, bytes]])
    """What a verification has failed for."""
    shared: set[str] = field(default_factory=set[str])
    """Paths that the user has changed, alone or besides the model."""
    why: Trigger | None = None
    restore: str = ""
    """Of the rung that the run is on."""
    patches: list[str] = field(default_factory=list[str])
    wrong: list[str] = field(default_factory=list[str])

    def play(self) -> Outcome:
        attempts = self.scene.attempts
        self.folder.mkdir()
        (self.folder / "a.txt").write_text("the original content, which the user wrote before\n")
        agent = Agent(
            ScriptedModel([*self.replies(), *[says("Done.")] * 30], profile=self.scene.profile),
            tools=self.tools(),
            workspace=self.folder,
            workspace_mode=self.scene.mode,
            verify=Verify(command="grep -qs good verdict", attempts=attempts) if attempts else None,
            ladder=self.scene.ladder,
            limits=self.scene.limits,
            env={"PATH": os.environ["PATH"]},
            sandbox=Sandbox(),
        )
        return asyncio.run(agent.run("Go.", observe=self.observe))

    def replies(self) -> Iterator[Any]:
        for each in self.scene.actions:
            if isinstance(each, list):
                yield calls(*[self.wanted(name, path) for name, path in each])
            elif each == "empty":
                yield says("")
            elif each == "truncated":
                yield says("To be or", finish_reason="length")
            elif each == "full":
                yield FULL
            elif each == "good":
                yield calls(("write", {"path": "verdict"}))
            else:
                yield says("Done.")

    def wanted(self, name: str, path: str) -> tuple[str, dict[str, Any]]:
        if name in {"scatter", "fail"}:
            return name, {}
        return ("write", {"file": 1}) if name == "invalid" else (name, {"path": path})

    def put(self, path: str, content: bytes) -> str:
        (self.workspace / path).parent.mkdir(exist_ok=True)
        (self.workspace / path).write_bytes(content)
        self.of_model[path] = content
        self.of_user.pop(path, None)
        return f"wrote {len(content)} bytes"

    def existing(self, path: str) -> bytes:
        content = self.content(path)
        if content is None:
            msg = f"There is no file {path}."
            raise ToolError(msg)
        return content

    def tools(self) -> list[Tool]:
        @tool(exclusive=True)
        def write(path: str) -> str:
            """Write a text file."""
            number = next(self.numbers)
            word = "good" if path == "verdict" else "text"
            return self.put(path, "".join(f"{word} {number}, line {line}\n" for line in range(number % 4 + 1)).encode())

        @tool(exclusive=True)
        def binary(path: str) -> str:
            """Write a binary file."""
            return self.put(path, b"\x00\xff" + str(next(self.numbers)).encode())

        @tool(exclusive=True)
        def edit(path: str) -> str:
            """Add a line to a file, without a newline at its end."""
            return self.put(path, self.existing(path) + f"edit {next(self.numbers)}".encode())

        @tool(exclusive=True)
        def remove(path: str) -> str:
            """Remove a file."""
            (self.workspace / path).unlink(missing_ok=True)
            self.of_model.pop(path, None)
            self.of_user.pop(path, None)
            return "removed"

        @tool(exclusive=True)
        def scatter() -> str:
            """Write files without naming them, as a command does."""
            return " ".join(self.put(path, f"scattered {next(self.numbers)}\n".encode()) for path in ("a.txt", "s.txt"))

        @tool(read_only=True)
        def read(path: str) -> str:
            """Read a file."""
            return repr(self.existing(path))

        @tool(read_only=True)
        def fail() -> str:
            """Fail."""
            msg = "no"
            raise ToolError(msg)

        return [write, binary, edit, remove, scatter, read, fail]

    def observe(self, event: Event) -> None:
        match event:
            case RunStarted():
                self.workspace = Path(event.workspace)
            case Requested() if event.step <= len(self.scene.user):
                self.type(self.scene.user[event.step - 1])
            case CallStarted() if self.scene.user and not event.read_only:
                self.type("user.txt")  # while a call runs
            case VerifyEnded(ok=False):
                self.failed |= set(self.of_model.items())
            case Triggered():
                self.why = event.trigger
            case Moved():
                self.restore = (self.scene.ladder or self.scene.profile.ladder).rungs[event.rung].restore
            case ContextRenewed():
                self.renewed(event)
            case RunEnded():
                self.check()
                passes = b"good" in (self.content("verdict") or b"")
                if event.status in {"stuck", "budget"} and passes and self.scene.attempts:
                    self.wrong.append(f"ended as {event.status} although the verification passes")
            case _:
                pass

    def renewed(self, event: ContextRenewed) -> None:
        self.patches += [event.patch] if event.patch else []
        if event.patch and not self.scene.profile.trained_texts and event.patch not in event.prompt.content:
            self.wrong.append(f"{event.patch} is not named")
        if event.restored and self.why != "verify_failed" and self.restore != "any":
            self.wrong.append(f"files were put back because of {self.why}")
        if taken := self.shared & set(event.restored):
            self.wrong.append(f"{taken} of the user were put back")
        self.check()

    def type(self, path: str | None) -> None:
        """Do what a user does in the same folder; nobody else works in a copy."""
        if path is None or self.scene.mode == "copy":
            return
        (self.workspace / path).parent.mkdir(exist_ok=True)
        self.of_user[path] = f"typed {next(self.numbers)}\n".encode()
        (self.workspace / path).write_bytes(self.of_user[path])
        self.shared.add(path)
        self.of_model.pop(path, None)

    def content(self, path: str) -> bytes | None:
        file = self.workspace / path
        return file.read_bytes() if file.is_file() else None

    def check(self) -> None:
        """Check that nothing of the user's is gone, and of the model's only what failed, and that this is saved."""
        self.wrong += [f"{path} of the user is lost" for path, was in self.of_user.items() if self.content(path) != was]
        for path, content in list(self.of_model.items()):
            if self.content(path) == content:
                continue
            del self.of_model[path]
            if (path, content) not in self.failed:
                self.wrong.append(f"{path} is lost, although no verification failed for it")
            if not any(self.is_saved(path, content, self.workspace / patch) for patch in self.patches):
                self.wrong.append(f"{path} is not saved")

    def is_saved(self, path: str, content: bytes, patch: Path) -> bool:
        file = patch.parent / "files" / path
        if file.exists() and file.read_bytes() == content:
            return True
        lines = patch.read_bytes().splitlines()
        return all(b"+" + line in lines or b" " + line in lines for line in content.splitlines())


def play(scene: Scene) -> list[str]:
    """Play a scene and return what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(scene=scene, folder=Path(folder, "work"))
        world.play()
        return world.wrong


MODES = pytest.mark.parametrize("mode", ["in_place", "copy"])


@MODES
@settings(max_examples=75)
@given(data=st.data())
def test_no_work_is_lost_without_a_failed_verification_and_a_patch(
    mode: Literal["in_place", "copy"], data: st.DataObject
):
    assert play(data.draw(scenes(mode, st.integers(1, 4)))) == []


@MODES
@settings(max_examples=25)
@given(data=st.data())
def test_work_that_is_never_verified_is_never_lost(mode: Literal["in_place", "copy"], data: st.DataObject):
    assert play(data.draw(scenes(mode, st.just(0)))) == []
