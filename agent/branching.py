"""Start and resume the branches of a run: runs of its own in copies of its workspace; check that it may branch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from . import ready_tools
from .begin import Start, Watching
from .errors import ConfigError
from .journal.branch_events import Branch
from .journal.events import RunEnded, RunStarted
from .journal.journal import JOURNAL_NAME
from .journal.runs import first_event, read_run, summarize
from .loop.branch_state import GOES_ON
from .loop.outcome import Outcome
from .loop.parent import ParentRun
from .loop.watching import Observer
from .messages import UserMessage
from .names import listed
from .policy.branches import branch_ladder
from .policy.budget import Spent
from .policy.permissions import Permission
from .policy.targets import normal_pattern
from .run_settings import RunSettings
from .sandbox.removal import remove_tree
from .tooling.tool import Tool
from .workspace.taking import copy_of_start, left_out
from .workspace.workspace import Snapshot, Workspace

Starter = Callable[[RunSettings, Start, Watching], Awaitable[Outcome[object]]]
Resumer = Callable[[RunSettings, Path, Watching], Awaitable[Outcome[object]]]

_NAME_CHARS = 90
_LACKS = (
    "The branches work in copies of the workspace without {names}. If the verification needs that, none can pass: "
    "install it outside of the workspace."
)


class BranchRuns:
    """The branches of one run, in the folder `branches` of its own folder."""

    def __init__(
        self, first: RunStarted, settings: RunSettings, parent: ParentRun, *, folder: Path, snapshot: Snapshot,
        permissions: Sequence[Permission], start: Starter, resume: Resumer,
    ) -> None:  # fmt: skip
        """Prepare for a run; nothing is made yet. `branches_of` says what the arguments are."""
        self._first = first
        self._folder = folder / "branches"
        self._snapshot = snapshot
        self._shared_limits = parent.shared_limits
        self._start = start
        self._resume = resume
        self._settings = replace(
            settings, instructions=first.system, project_instructions="none", runs=self._folder, family=parent.family,
            workspace=self._folder / ".start", workspace_mode="copy",
            permissions=[_relative(rule, first.workspace) for rule in permissions],
        )  # fmt: skip

    def new_names(self, count: int) -> Sequence[str]:
        """Return names for new branches."""
        stem = f"{self._first.run[:_NAME_CHARS]}-b"
        numbers = (path.name.removeprefix(stem) for path in self._folder.glob(f"{stem}*"))
        last = max((int(number) for number in numbers if number.isdecimal()), default=0)
        return [f"{stem}{last + number}" for number in range(1, count + 1)]

    def workspace(self, run: str) -> Path:
        """Return the folder that a branch works in."""
        return self._folder / run / "workspace"

    def journal(self, run: str) -> Path:
        """Return the file of a branch's events."""
        return self._folder / run / JOURNAL_NAME

    def spent(self, run: str) -> Spent:
        """Return what a branch has used so far, by its journal; nothing if it has none."""
        return summarize(self._folder / run).spent if self.journal(run).exists() else Spent()

    def prepare(self) -> str:
        """Make the copy that the branches begin with, if there is none yet; return a notice of what it lacks.

        Raises:
            ConfigError: it cannot be copied.
            OSError: it cannot be restored.
        """
        workspace = Workspace(self._first.workspace)
        copy_of_start(workspace, self._snapshot, self._folder / ".start")
        names = left_out(workspace)
        return _LACKS.format(names=listed(names, 5)) if names else ""

    async def run(self, branch: Branch, prompt: UserMessage, observe: Observer) -> RunEnded:
        """Start a branch, or resume it if it has a journal, and return its last event.

        Raises:
            ConfigError: it cannot start.
            EndpointError: the server could not be reached before it started.
        """
        place, watching = self._folder / branch.run, Watching(observe=observe)
        if first_event(place) is None:
            if place.exists():  # of a run that was killed before its first event
                remove_tree(place)
            begin = Start(
                prompt=prompt, history=self._first.history, name=branch.run, branch_of=self._first.run,
            )  # fmt: skip
            await self._start(self._settings_of(branch), begin, watching)
        elif (ended := self._ended(branch.run)) is None or ended.status in GOES_ON:
            await self._resume(self._settings_of(branch), place, watching)
        ended = self._ended(branch.run)
        assert ended is not None, "a run that has returned has ended"
        return ended

    def _ended(self, run: str) -> RunEnded | None:
        _, events = read_run(self._folder / run)
        return events[-1] if isinstance(events[-1], RunEnded) else None

    def _settings_of(self, branch: Branch) -> RunSettings:
        plan, given = branch.plan, self._settings.model_settings
        number = int(branch.run.rpartition("-b")[2])
        return replace(
            self._settings,
            ladder=branch_ladder(self._first.ladder, plan.effort),
            model_settings=replace(
                given,
                temperature=given.temperature if plan.temperature is None else plan.temperature,
                seed=None if given.seed is None else given.seed + number,
            ),
            shared_limits=self._shared_limits(),
        )


def branches_of(
    first: RunStarted, settings: RunSettings, parent: ParentRun, *, folder: Path, permissions: Sequence[Permission],
    start: Starter, resume: Resumer,
) -> BranchRuns | None:  # fmt: skip
    """Return what starts the branches of a run. None if its ladder does not branch, or its workspace has no snapshot.

    Args:
        first: the first event of the run.
        settings: of the run.
        parent: the run, as those that it starts know it.
        folder: its own folder.
        permissions: its rules.
        start: starts a run.
        resume: resumes the run in a folder.
    """
    if not first.ladder.rungs[-1].branch or first.snapshot is None:
        return None
    snapshot = Snapshot(tree=Path(first.snapshot))
    return BranchRuns(
        first, settings, parent, folder=folder, snapshot=snapshot, permissions=permissions, start=start, resume=resume
    )


def check_branching(settings: RunSettings) -> None:
    """Check that a run whose ladder branches can do so, and that its branches change nothing but their copies.

    Raises:
        ConfigError: it cannot, or they could.
    """
    if settings.ladder is None or not settings.ladder.rungs[-1].branch:
        return
    for problem in _problems(settings):
        msg = f"The ladder ends with `branch`, but {problem}"
        raise ConfigError(msg, key="ladder.rungs")


def _problems(settings: RunSettings) -> Iterator[str]:
    if settings.verify is None:
        yield "nothing decides which branch is right. Add `verify`, or remove that rung."
    if settings.workspace is None and settings.workspace_mode in {"in_place", "create"}:
        yield "the agent has no `workspace` that could be copied. Name the folder, or remove that rung."
    if all(tool.read_only for tool in settings.tools):
        yield "no tool changes files, so all branches would leave the same ones. Remove that rung."
    open_tools = [tool.name for tool in settings.tools if not _is_confined(tool)]
    if open_tools:
        yield (
            f"{listed(open_tools, 5)} may change something outside of the workspace, and each branch would do so. "
            "Declare `read_only` if it changes nothing, `paths` if it changes only the files that it names; or remove "
            "that rung."
        )
    sandbox = settings.sandbox
    if sandbox is None:
        return
    if sandbox.isolation == "none":
        yield "commands are not sandboxed, so each branch could change what the others see. Allow a sandbox."
    if sandbox.rules.network:
        yield "commands may use the network, and each branch would do there again what the others did. Close it."
    if sandbox.rules.write:
        places = listed([str(path) for path in sandbox.rules.write], 5)
        yield f"commands may change {places}, which all branches share. Remove that, or the rung."


def _is_confined(tool: Tool) -> bool:
    """Return whether a tool changes nothing outside of the workspace."""
    is_ready = tool.name in ready_tools.NAMES and ready_tools.find(tool.name).body is tool.body
    return tool.read_only or tool.commands or tool.paths is not None or is_ready


def _relative(rule: Permission, workspace: str) -> Permission:
    """Return a rule that holds in a copy of the workspace too."""
    if "path" not in rule.match:
        return rule
    return replace(rule, match={**rule.match, "path": normal_pattern(rule.match["path"], workspace)})
