"""Configure an agent, start or resume its runs, and return their outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .agent_settings import AgentSettings, DepsT, OutputT
from .begin import NOBODY, Start, Watching
from .errors import ConfigError
from .keywords import checked_keywords, unknown_attribute
from .old_names import (
    AGENT_ATTRIBUTES,
    AGENT_ELSEWHERE,
    AGENT_RENAMED,
    AS_TOOL_ELSEWHERE,
    RUN_ELSEWHERE,
    SESSION_ELSEWHERE,
)

# What runs, sessions and task files need are 150 modules, which are imported when the first of these starts.
if TYPE_CHECKING:
    from .given import Conversation
    from .loop.outcome import Outcome
    from .loop.watching import Observer
    from .messages import Image
    from .model.deltas import Delta
    from .model.protocol import Model, TokenCount
    from .model.settings import ModelSettings
    from .policy.limits import Limits
    from .run_settings import RunSettings
    from .session import Session
    from .streaming import EventStream
    from .task.task import Task
    from .tooling.tool import Tool


@checked_keywords(renamed=AGENT_RENAMED, elsewhere=AGENT_ELSEWHERE, own_types=True)
class Agent(AgentSettings[DepsT, OutputT]):
    """A model, its tools and the settings of its runs. Holds no run state, so concurrent runs are allowed.

    Args:
        model: an Endpoint, the URL of a server, or a ScriptedModel in a test.
        tools: what the model may call: tools, functions with type annotations and a docstring, or names of ready tools.
        instructions: the system prompt. None means the default for the model's family, with facts about the run.
        project_instructions: `auto` adds the AGENTS.md or CLAUDE.md nearest to the workspace to the default system
            prompt, as far as it takes a tenth of the window; `none` does not.
        output_type: type of the result: a pydantic model, a dataclass, a TypedDict, `list[...]`, a union, `int`, a list
            of types for a union, or the JSON Schema of an object. `str` means a text answer.
        deps: an object that tools use, as `context.deps`.
        fallback: servers to continue with, in this order, if the one before does not answer. After the model's first
            reply, this needs `runs`.
        mcp: MCP servers whose tools the model may call too; each tool's name begins with the server's name.
        model_settings: temperature, seed and other settings of each request.
        ladder: how the run escalates after failures. None means the ladder of the model's profile.
        limits: limits of each run.
        verify: the command that decides whether the work is done. None means the run ends as `finished` when the model
            reports that it is done.
        workspace: the folder that tools work in. None means the current folder, which is never restored.
        workspace_mode: work `in_place`; `create` the folder if it is missing; or leave it unchanged and work in a
            `copy` or git `worktree` of it in the run's folder. Without `runs`, a copy is deleted when the run ends.
        env: environment variables of the commands that tools and the verification start, added to a safe base (PATH,
            HOME, LANG and a few more); None as a value removes a variable.
        secrets: values, by name, to hide from the model and the journal. The values of variables with names such as
            `API_KEY` are hidden anyway.
        secret_files: files whose values are hidden in the same way, such as `.env`.
        sandbox: sandbox for commands, or its kind, such as `none`. None means bubblewrap where it runs, else Landlock,
            without network.
        permissions: rules that allow calls, deny them or ask a person; the first match wins.
        approve: asks a person to approve a call. None means no person can be asked, so `ask` denies the call.
        runs: folder for the journals, with one folder per run; `agent runs` lists those in `runs_folder()`. None
            means no journal is written, and a run cannot be resumed.

    Raises:
        ConfigError: a setting is invalid.
    """

    @classmethod
    def from_task(
        cls, task: Task, model: Model | str, *, environ: Mapping[str, str], runs: str | Path | None = None
    ) -> Agent[None, Any]:
        """Return the agent that a task describes; run it with `task.rendered_prompt()`.

        Args:
            task: Task from `load_task`.
            model: Endpoint of the model.
            environ: Variables from which those of tools and verification are selected, such as os.environ.
            runs: Folder for the journals. None means no journal is written.

        Raises:
            ConfigError: A tool cannot be loaded, or something that the task refers to does not exist.
        """
        from .task_settings import settings_of_task

        return Agent[None, Any](
            model, runs=runs, **settings_of_task(task, environ, None if runs is None else Path(runs))
        )

    @checked_keywords(elsewhere=RUN_ELSEWHERE)
    async def run(
        self, prompt: str, *, history: Conversation = (), images: Iterable[Image] = (), deps: DepsT | None = None,
        limits: Limits | None = None, model_settings: ModelSettings | None = None, name: str | None = None,
        observe: Observer | None = None, deltas: Callable[[Delta], None] | None = None,
    ) -> Outcome[OutputT]:  # fmt: skip
        """Run once and return the outcome.

        Args:
            prompt: The task for the model.
            history: A conversation to continue: the outcome of an earlier run, its messages, or messages in OpenAI's
                chat format. Its system prompt is kept, unless the agent has `instructions` of its own.
            images: Images that belong to the prompt, for a vision model.
            deps: For this run, instead of the agent's.
            limits: For this run, instead of the agent's.
            model_settings: For this run, instead of the agent's.
            name: Name of the run, for `agent show` and `resume`. None means one made of the time.
            observe: Called with each event after it is recorded.
            deltas: Called with each part of a reply as it arrives.

        Raises:
            ConfigError: A setting is invalid, the conversation cannot be continued, or there is a run of this name.
            EndpointError: The server could not be reached before the run started.
        """
        settings = self.settings(deps=deps, limits=limits, model_settings=model_settings)
        return await self._start(
            settings, _begin(prompt, history, images, name), Watching(observe=observe, deltas=deltas)
        )

    @checked_keywords(elsewhere=RUN_ELSEWHERE)
    def stream(
        self, prompt: str, *, history: Conversation = (), images: Iterable[Image] = (), deps: DepsT | None = None,
        limits: Limits | None = None, model_settings: ModelSettings | None = None, name: str | None = None,
    ) -> EventStream[OutputT]:  # fmt: skip
        """Run once and return its events and the parts of its replies as they come: `async for event in stream`.

        The arguments are those of `run`. The loop raises what `run` raises.
        """
        from .streaming import EventStream

        settings = self.settings(deps=deps, limits=limits, model_settings=model_settings)
        begin = _begin(prompt, history, images, name)
        return EventStream(lambda watching: self._start(settings, begin, watching))

    @checked_keywords(elsewhere=SESSION_ELSEWHERE)
    def session(self, name: str | None = None, *, limits: Limits | None = None) -> Session[OutputT]:
        """Return a session: a conversation of many turns. A session of this name in `runs` is continued.

        Without `instructions`, its system prompt is the default one of `run`, which tells the model to work on its own
        and to ask no questions.

        Args:
            name: Name of the session. None means a new session, named by the time.
            limits: Limits of all its turns together. None means there are none.

        Raises:
            ConfigError: A setting is invalid, or a journal cannot be read.
        """
        from .given import check_kind
        from .policy.limits import NO_LIMITS, Limits
        from .session import Session, session_name
        from .turns import NOTHING_SAVED, read_session

        given = session_name(name)
        check_kind(limits, (Limits, type(None)), "limits", "Write Limits(steps=...).")
        settings = self.settings()
        runs = None if name is None else settings.runs
        saved = NOTHING_SAVED if runs is None else read_session(runs, given, settings)
        return Session(
            given, settings=self.settings, start=self._start, resume=self._resume,
            limits=NO_LIMITS if limits is None else limits, saved=saved,
        )  # fmt: skip

    def sessions(self) -> tuple[str, ...]:
        """Return the names of the sessions in `runs`, oldest first."""
        from .turns import session_names

        runs = self.settings().runs
        return () if runs is None else session_names(runs)

    @checked_keywords(elsewhere=AS_TOOL_ELSEWHERE)
    def as_tool(self, name: str, description: str | None = None, *, timeout_s: float = 1800.0) -> Tool:
        """Return this agent as a tool for another one: each call is a run with its own prompt, and returns the result.

        Its tokens count towards the limits of the run that calls it, and its journal is in that run's folder.

        Args:
            name: Name of the tool.
            description: What the other model reads about it. None means one made of the name.
            timeout_s: Seconds after which a call is abandoned.

        Raises:
            ConfigError: The name is not allowed.
        """
        from .delegation import agent_tool

        text = description or f"Give a task to {name}, an agent that works on it by itself, and get its result."
        return agent_tool(name, text, settings=self.settings, start=self._start, timeout_s=timeout_s)

    @checked_keywords()
    async def resume(
        self, folder: str | Path, *, observe: Observer | None = None, deltas: Callable[[Delta], None] | None = None
    ) -> Outcome[OutputT]:
        """Resume the run in this folder from its journal.

        Finished calls are not executed again; one that was running is reported to the model as interrupted. This
        agent's limits apply. A run that was stuck or failed its verification gets a new ladder and new attempts.

        Args:
            folder: Folder of the run, or its name if the agent has `runs`.
            observe: Called with each event after it is recorded.
            deltas: Called with each part of a reply as it arrives.

        Raises:
            ConfigError: There is no such run, it has ended or still runs, or its tools or workspace have changed.
            EndpointError: The server could not be reached before the run started.
        """
        from .given import check_kind
        from .journal.runs import run_place

        check_kind(folder, (str, Path), "folder", "Give the folder of a run, or its name.")
        runs = self.settings().runs
        place = Path(folder) if runs is None else run_place(runs, folder)
        if not place.is_dir():
            where = " here. Give its folder, or give the agent the `runs` that it is in."
            msg = f"There is no run {str(folder)!r}" + (where if runs is None else f" in {runs}. Check its name.")
            raise ConfigError(msg, key="folder")
        return await self._resume(self.settings(), place.absolute(), Watching(observe=observe, deltas=deltas))

    @checked_keywords(elsewhere=RUN_ELSEWHERE)
    def run_sync(
        self, prompt: str, *, history: Conversation = (), images: Iterable[Image] = (), deps: DepsT | None = None,
        limits: Limits | None = None, model_settings: ModelSettings | None = None, name: str | None = None,
        observe: Observer | None = None,
    ) -> Outcome[OutputT]:  # fmt: skip
        """Run once, for callers without an event loop; see `run`.

        Raises:
            ConfigError: As for `run`, or an event loop is running, as in a notebook: use `await agent.run(...)`.
            EndpointError: As for `run`.
        """
        import asyncio

        from .given import refuse_running_loop

        refuse_running_loop("run")
        return asyncio.run(
            self.run(
                prompt, history=history, images=images, deps=deps, limits=limits, model_settings=model_settings,
                name=name, observe=observe,
            )
        )  # fmt: skip

    def resume_sync(self, folder: str | Path, *, observe: Observer | None = None) -> Outcome[OutputT]:
        """Resume a run, for callers without an event loop; see `resume`.

        Raises:
            ConfigError: As for `resume`, or an event loop is running, as in a notebook: use `await agent.resume(...)`.
            EndpointError: As for `resume`.
        """
        import asyncio

        from .given import refuse_running_loop

        refuse_running_loop("resume")
        return asyncio.run(self.resume(folder, observe=observe))

    async def count(self, prompt: str, *, images: Iterable[Image] = ()) -> TokenCount | None:
        """Return the tokens of the first request, as the server renders it. None if the server cannot count them.

        Raises:
            EndpointError: The server does not answer.
        """
        from .first_prompt import count
        from .given import prompt_of

        return await count(self.settings(), prompt_of(prompt, images))

    if not TYPE_CHECKING:  # a type checker would accept every name

        def __getattr__(self, name: str) -> object:
            raise unknown_attribute(self, name, AGENT_ATTRIBUTES)

    async def _start(self, settings: RunSettings, begin: Start, watching: Watching = NOBODY) -> Outcome[OutputT]:
        from .fallback import start_on_any

        return cast("Outcome[OutputT]", await start_on_any(settings, self._models, begin, watching))

    async def _resume(self, settings: RunSettings, folder: Path, watching: Watching) -> Outcome[OutputT]:
        from .fallback import resume_on_any

        return cast("Outcome[OutputT]", await resume_on_any(settings, self._models, folder, watching))


def _begin(prompt: str, history: Conversation, images: Iterable[Image], name: str | None) -> Start:
    from .given import check_kind, messages_of, prompt_of

    check_kind(name, (str, type(None)), "name", "Give a text.")
    return Start(prompt=prompt_of(prompt, images), history=messages_of(history), name=name)
