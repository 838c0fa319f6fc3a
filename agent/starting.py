"""Start and resume runs: prepare the workspace, record the first event, assemble what a run works with."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from .begin import NOBODY, Start, Watching
from .branching import branches_of
from .errors import ConfigError
from .journal.events import Noticed, Resumed, RunStarted
from .journal.journal import Journal, JournalWriteError
from .journal.runs import check_run_name, read_run, run_folder
from .loop.background import member_of
from .loop.call_paths import with_real_paths
from .loop.clock import RunClock
from .loop.dependencies import RunDependencies
from .loop.family import Family
from .loop.moving import told_before_moving
from .loop.outcome import Outcome, outcome_of
from .loop.parent import ParentRun
from .loop.recording import recorder
from .loop.resume import resume_state
from .loop.run import Run
from .loop.state import RunState
from .loop.watching import Watcher
from .loop.work import NOTES_TOOL
from .messages import SystemMessage
from .model.protocol import Connection
from .policy.permissions import DESTRUCTIVE
from .run_settings import RunSettings
from .sandbox import Sandbox, Shared
from .sandbox.imports import guarded_imports
from .sandbox.opened import checking_opened
from .tooling.context import ToolContext
from .tooling.toolbox import Toolbox
from .workspace.kept_apart import check_kept_apart
from .workspace.left_behind import disarm_after_killed, noticing_repositories, watched
from .workspace.prepare import PreparedWorkspace, prepare_workspace
from .workspace.recorded_run import claimed_folder, diff_text, works_in_place
from .workspace.verify_inputs import noticing_verify_inputs
from .workspace.workspace import Snapshot, Workspace


async def start(
    settings: RunSettings, begin: Start, watching: Watching = NOBODY, notices: Sequence[str] = ()
) -> Outcome[object]:
    """Run once and return the outcome. `notices` are recorded first.

    Raises:
        ConfigError: a setting is invalid, or there is a run of this name.
        EndpointError: the server could not be reached before the run started.
    """
    run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}" if begin.name is None else begin.name
    check_run_name(settings.runs, run)
    in_place = settings.workspace_mode in {"in_place", "create"}
    written = settings.written_folders(settings.workspace or Path.cwd() if in_place else None)
    check_kept_apart(written, settings.runs)
    async with settings.model.open(session=begin.branch_of or run) as connection:
        claimed = settings.claim(settings.named_folder(), run)
        # The rules of a run that this one was called by are about its own calls.
        with checking_opened(None), claimed, run_folder(settings.runs, run) as folder:
            first, about_workspace = await _first_event(settings, connection, run, folder, begin)
            sandbox = settings.run_sandbox(first, folder)
            first = replace(first, sandbox=str(sandbox or ""))
            notices = (*notices, *about_workspace)
            state = RunState(first, settings.profile(first.model))
            journal = Journal(folder) if settings.runs is not None else None
            return await _drive(settings, connection, state, first, sandbox, folder, journal, watching, notices)


async def resume(
    settings: RunSettings, folder: Path, watching: Watching = NOBODY, notices: Sequence[str] = ()
) -> Outcome[object]:
    """Resume the run in this folder from its journal, and return the outcome. `notices` are recorded first.

    Raises:
        ConfigError: there is no such run, it has ended or still runs, or its tools or workspace have changed.
        EndpointError: the server could not be reached before the run started.
    """
    with closing(Journal(folder, create=False)) as journal:  # locked before it is read: nobody else may go on
        state = resume_state(folder, settings.toolbox, settings.profile, settings.all_secrets())
        in_place = works_in_place(state.started, folder)
        written = settings.written_folders(Path(state.started.workspace) if in_place else None)
        check_kept_apart(written, folder.parent)
        async with settings.model.open(session=state.started.branch_of or state.started.run) as connection:
            served, first = await connection.served(), state.started
            profile, base_url = settings.profile(served.model), settings.model.base_url
            if (base_url, served.model, served.window_tokens) != (first.base_url, first.model, first.window_tokens):
                notices = (
                    *notices,
                    *told_before_moving(state, served, base_url, profile.surface, read_run(folder)[1]),
                )
            if (served.model, profile.name) != (first.model, state.profile.name):
                state.profile = profile
                state.started = replace(first, ladder=profile.climbed(first.ladder))
            resumed = Resumed(
                wall_s=state.spent.wall_s, limits=settings.limits, shared_limits=tuple(settings.shared_limits),
                sandbox=str(settings.run_sandbox(first, folder) or ""), base_url=base_url,
                model=served.model, window_tokens=served.window_tokens,
            )  # fmt: skip
            with checking_opened(None), settings.claim(claimed_folder(first, folder), first.run):
                killed = await asyncio.to_thread(_from_killed_runs, settings, Path(first.workspace), folder)
                notices = (*notices, *killed)
                sandbox = settings.run_sandbox(first, folder)
                return await _drive(settings, connection, state, resumed, sandbox, folder, journal, watching, notices)


async def _drive(
    settings: RunSettings, connection: Connection, state: RunState, opening: RunStarted | Resumed,
    own_sandbox: Sandbox | None, folder: Path, journal: Journal | None, watching: Watching,
    notices_before: Sequence[str],
) -> Outcome[object]:  # fmt: skip
    first = state.started
    sandbox = own_sandbox or Sandbox()
    snapshot, shared = None if first.snapshot is None else Path(first.snapshot), Shared(first.run)
    context = ToolContext(
        workspace=Path(first.workspace), deps=settings.deps, env=settings.env, sandbox=sandbox,
        secrets=settings.all_secrets(),
        snapshot=snapshot, no_snapshot=first.note, model_family=state.profile.name, shared=shared,
    )  # fmt: skip
    watcher, changing = Watcher(watching.observe), [tool.name for tool in settings.tools if not tool.read_only]
    record = recorder(state, journal, watcher, context.redacted)
    if changing:
        record = noticing_repositories(context.workspace, record, changing)
        if settings.verify is not None:
            env, kept = {**settings.env, **settings.verify_env}, None if journal is None else folder
            record = noticing_verify_inputs(context.workspace, settings.verify.command, env, record, kept)
    parent = ParentRun(
        folder=None if journal is None else folder, record=record,
        shared_limits=lambda: state.budget.shared_with(replace(state.spent, steps=0, tool_calls=0), first.run),
        family=settings.family or Family(),
    )  # fmt: skip
    context = replace(context, parent=parent)
    given = (*settings.permissions, *(DESTRUCTIVE if sandbox.isolation == "none" else ()))
    rules = with_real_paths(given, context.workspace, settings.workspace or Path.cwd())
    toolbox = settings.toolbox(state.profile.name, notes=NOTES_TOOL in first.tools)
    member = member_of(parent.family, context, record)
    deps = RunDependencies(
        connection=connection, toolbox=toolbox, context=context, member=member, record=record,
        sync=journal.sync if journal is not None else lambda: None,
        clock=RunClock(state.spent.wall_s),
        verify=settings.verify, verify_env=settings.verify_env,
        permissions=rules,
        branches=branches_of(first, settings, parent, folder=folder, permissions=rules, start=start, resume=resume),
        approve=settings.approve, watch=watching.deltas, wants_result=settings.output is not None,
        snapshot=None if snapshot is None else Snapshot(tree=snapshot), patience_s=settings.model.patience_s,
        shared_workspace=works_in_place(first, folder), first_wait_s=settings.model.first_wait_s,
    )  # fmt: skip
    since_ns = time.time_ns() if opening is first else int(datetime.fromisoformat(first.at).timestamp()) * 10**9
    async with AsyncExitStack() as cleanup:
        cleanup.enter_context(guarded_imports(settings.written_folders(context.workspace), since_ns=since_ns))
        if journal is not None:
            cleanup.callback(journal.close)
        own = None if all(tool.read_only for tool in settings.tools) else settings.own
        places = (context.workspace, *settings.places_beside(context.workspace))
        cleanup.enter_context(member.joined())  # until its commands have ended
        cleanup.push_async_callback(watcher.aclose)
        notices = cleanup.enter_context(
            watched(
                places, own, folder, journal, watcher.show,
                set_ids_since_ns=since_ns if sandbox.isolation == "container" else None,  # the other walls refuse them
            )
        )  # fmt: skip
        cleanup.push_async_callback(shared.aclose)
        cleanup.push_async_callback(context.resources.aclose, lambda text: notices.append(context.redacted(text)))
        try:
            record(opening)
            for text in notices_before:
                record(Noticed(text=text))
        except JournalWriteError as error:
            raise ConfigError(str(error)) from error
        await asyncio.gather(*(tool.prepare(context) for tool in deps.toolbox if tool.prepare is not None))
        ended = await Run(state, deps).drive()
    if watcher.failure is not None and ended.status != "error":  # it raised at the very end
        notices.append(str(watcher.failure))
    diff = None if journal is not None else await asyncio.to_thread(_diff, first)
    return outcome_of(
        state, ended, journal and journal.path, notices, context.redacted, output=settings.output, diff=diff
    )


def _from_killed_runs(settings: RunSettings, workspace: Path, resumed: Path | None = None) -> Sequence[str]:
    """Take away what killed runs left for git to start, if this run may change files; return notices."""
    if all(tool.read_only for tool in settings.tools):
        return ()
    runs = settings.runs if resumed is None else resumed.parent
    places = (workspace, *settings.places_beside(workspace))
    return tuple(text for place in places for text in disarm_after_killed(runs, place, resumed))


def _prepared(settings: RunSettings, folder: Path, toolbox: Toolbox) -> tuple[PreparedWorkspace, Sequence[str]]:
    """Return the workspace of a new run, and notices of what killed runs left there and of what a copy lacks."""
    killed = _from_killed_runs(settings, settings.workspace or Path.cwd())
    prepared = prepare_workspace(
        settings.workspace, settings.workspace_mode, folder, kept=settings.runs is not None,
        changes=not all(tool.read_only for tool in toolbox), secret=settings.secret_files(),
    )  # fmt: skip
    return prepared, (*killed, *prepared.notices)


def _diff(first: RunStarted) -> str | None:
    """Return what a run changed whose snapshot is about to be deleted. None if it cannot be compared."""
    if first.snapshot is None:
        return None
    with suppress(ConfigError, OSError):
        return diff_text(Workspace(first.workspace), Snapshot(tree=Path(first.snapshot)))
    return None


async def _first_event(
    settings: RunSettings, connection: Connection, name: str, folder: Path, begin: Start
) -> tuple[RunStarted, Sequence[str]]:
    """Return the first event of a new run, and notices of its workspace."""
    served = await connection.served()
    profile = settings.profile(served.model)
    toolbox = settings.toolbox(profile.name, notes=settings.takes_notes(profile, served.window_tokens))
    settings.base_sandbox()  # fail before a copy or worktree is made if this machine has no sandbox
    prepared, notices = await asyncio.to_thread(_prepared, settings, folder, toolbox)
    found = settings.found_instructions(profile)
    system = settings.system_prompt(served.model, workspace=prepared.workspace.path, window_tokens=served.window_tokens)
    history = begin.history
    if history and isinstance(history[0], SystemMessage):
        # The conversation keeps the prompt that it began with, and so its prefix in the engine's cache.
        system, found = (history[0].content, None) if settings.instructions is None else (system, found)
        history = history[1:]
    first = RunStarted(
        run=name, at=datetime.now(UTC).isoformat(timespec="seconds"), task=settings.task,
        base_url=settings.model.base_url, model=served.model, profile=profile.name, window_tokens=served.window_tokens,
        ladder=profile.climbed(settings.ladder), limits=settings.limits, tools=toolbox.names,
        tools_digest=toolbox.digest, system=system, instructions="" if found is None else found.path,
        prompt=begin.prompt, workspace=str(prepared.workspace.path), worktree=prepared.worktree,
        snapshot=str(prepared.snapshot) if prepared.snapshot else None, note=prepared.note,
        history=tuple(history), model_settings=settings.model_settings, session=begin.session, rung=begin.rung,
        shared_limits=tuple(settings.shared_limits), branch_of=begin.branch_of,
    )  # fmt: skip
    return first, notices
