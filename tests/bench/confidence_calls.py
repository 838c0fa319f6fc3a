"""Play tasks of the escalation bench; record how sure the model was of each edit, and whether the edit was right.

An edit is right if the project as it was before the call, with that edit, passes the task's hidden tests, which decide
a run too. Each edit at the lowest effort is also asked again at the highest, and damaged as `escalation_faults` does;
both are judged alike, and neither changes the run. Scored are the tokens of the call's name and arguments and the token
that ends the call, without which a call that is cut off would look as sure as a whole one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from confidence_records import (
    HIGHEST,
    LOWEST,
    Again,
    Confidence,
    Damaged,
    Doubt,
    Edit,
    Label,
    Play,
    ScoredReply,
    Span,
    computed,
    confidence_of,
)
from escalation_faults import FAULT_KINDS, Damage
from escalation_runs import CACHES, QUICK, BenchTask, environment
from wrapped_model import WrappedModel

from agent import Agent, Ladder, Limits
from agent.loop.verify import verify
from agent.messages import RawCall, Reply
from agent.model.protocol import Model
from agent.model.replies import decode_reply
from agent.model.wire import Request
from agent.parsing.validation import InvalidCall, check
from agent.sandbox import Sandbox
from agent.task.tool_loading import load_tools
from agent.tooling.context import ToolContext
from agent.tooling.execute import execute
from agent.tooling.toolbox import Toolbox
from serving.pocket import MAX_MODEL_LEN, MODEL_NAME

VERIFY_S = 30.0
"""An edit with which the hidden tests take longer is wrong; they take less than a second."""
REPLY_TIMEOUT_S = 600.0
MARGIN_TOKENS = 64
"""The highest effort renders a few tokens more than the lowest."""


@dataclass(kw_only=True)
class Judge:
    """Decides whether a call is right, in copies of the project that it removes."""

    task: BenchTask
    scratch: Path
    _known: dict[str, bool] = field(default_factory=dict[str, bool])
    """Whether a project passes the tests, by its digest."""

    def __post_init__(self) -> None:
        tools = load_tools(self.task.task.tools, directory=self.task.project.parent)
        self._toolbox = Toolbox([tool.for_family(MODEL_NAME) for tool in tools])

    async def label(self, workspace: Path, call: RawCall | None) -> Label:
        """Return whether a call is right in the project as it is now; None is a reply without an edit."""
        if call is None:
            return "no_edit"
        checked = check(call, self._toolbox, call_id="call00000")
        if isinstance(checked, InvalidCall):
            return "refused"
        with copied(workspace, self.scratch) as project:
            before = digest_of(project)
            context = ToolContext[None](workspace=project, model_family=MODEL_NAME)
            await execute(checked.call, checked.tool, checked.value, context, spill_dir=None)
            after = digest_of(project)
            if after == before:
                return "wrong"
            if after == digest_of(self.task.project):
                return "undone"
            if after not in self._known:
                self._known[after] = await self._passes(project)
            return "right" if self._known[after] else "wrong"

    async def _passes(self, project: Path) -> bool:
        settings = self.task.task.verify
        assert settings is not None, "read_tasks refuses a task without it"
        folder = str(self.task.project.parent.resolve())
        env = {**environment(), **QUICK, **self.task.task.env, "AGENT_TASK_DIR": folder}
        ran = await verify(settings.command, workspace=project, env=env, timeout_s=VERIFY_S, sandbox=Sandbox())
        return ran.ok


@contextmanager
def copied(project: Path, scratch: Path) -> Generator[Path]:
    """Copy a project for the block."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        yield Path(shutil.copytree(project, Path(folder) / "project", ignore=shutil.ignore_patterns(*CACHES)))


def digest_of(project: Path) -> str:
    """Return a digest of all files but caches."""
    digest = hashlib.sha256()
    for path in sorted(path for path in project.rglob("*") if path.is_file() and not CACHES & set(path.parts)):
        digest.update(f"{path.relative_to(project)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


@dataclass(kw_only=True)
class SureModel(WrappedModel):
    """The model of one play: asks for log-probabilities, and measures each edit or asks the doubtful ones again."""

    judge: Judge
    workspace: Path
    salt: str
    doubt: Doubt | None
    requests: int = 0
    computed_tokens: int = 0
    asked_again: int = 0
    edits: list[Edit] = field(default_factory=list[Edit])

    async def ask(self, request: Request) -> Reply:
        self.requests += 1
        if request.force_tool is not None or request.tool_choice == "required" or request.json_schema is not None:
            reply = await super().ask(request)
            self.computed_tokens += computed(reply.usage)
            return reply
        scored = await self._scored(request)
        if scored is None:
            return await super().ask(request)  # the engine refuses it; the product knows what to do
        self.computed_tokens += computed(scored.reply.usage)
        found = scored.edit()
        if found is None:
            return scored.reply
        call, span = found
        confidence = confidence_of([scored.logprobs[at] for at in span.places()])
        if self.doubt is None:
            self.edits.append(await self._measured(request, scored, call, span))
        elif request.effort == LOWEST and self.doubt.has(confidence):
            again = await self._scored(self._one_rung_up(request, scored))
            if again is not None:
                self.asked_again += 1
                self.computed_tokens += computed(again.reply.usage)
                return again.reply if again.edit() is not None else scored.reply
        return scored.reply

    async def _measured(self, request: Request, scored: ScoredReply, call: RawCall, span: Span) -> Edit:
        confidence = confidence_of([scored.logprobs[at] for at in span.places()])
        label = await self.judge.label(self.workspace, call)
        if request.effort != LOWEST:
            return Edit(effort=str(request.effort), confidence=confidence, label=label)
        reply = await self._scored(self._one_rung_up(request, scored))
        asked = None if reply is None else reply.edit()
        again = Again(
            label=await self.judge.label(self.workspace, None if asked is None else asked[0]),
            computed_tokens=0 if reply is None else computed(reply.reply.usage),
        )
        damaged = await self._damaged(scored, call, span)
        return Edit(effort=LOWEST, confidence=confidence, label=label, again=again, damaged=damaged)

    def _one_rung_up(self, request: Request, scored: ScoredReply) -> Request:
        profile = self.profile_for(request.model)
        room = MAX_MODEL_LEN - len(scored.prompt) - MARGIN_TOKENS
        limit = max(1, min(profile.reply_tokens[HIGHEST], room))
        return replace(request, effort=HIGHEST, sampling=profile.sampling[HIGHEST], max_tokens=limit)

    async def _damaged(self, scored: ScoredReply, call: RawCall, span: Span) -> Damaged:
        rng = Random(f"confidence/{self.judge.task.name}/{len(self.edits)}")
        damage = Damage(kind=rng.choice(FAULT_KINDS), seed=rng.getrandbits(32))
        broken = damage.to(replace(scored.reply, tool_calls=(call,))).tool_calls[0]
        return Damaged(
            kind=damage.kind,
            confidence=await self._forced(scored, broken, span),
            undamaged=await self._forced(scored, call, span),
            label=await self.judge.label(self.workspace, broken),
        )

    async def _forced(self, scored: ScoredReply, call: RawCall, span: Span) -> Confidence:
        """Return the confidence in a call that the model reads where its own call was."""
        name, arguments = [await self._tokenized(text) for text in (call.name, call.arguments)]
        written = [*name, scored.ids[span.arguments], *arguments, scored.ids[span.end]]
        ids = [*scored.prompt, *scored.ids[: span.start + 1], *written]
        # With a salt of its own: it may not fill the cache of the play.
        body = {"prompt": ids, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0, "cache_salt": f"{self.salt}x"}
        data = await self._post(f"{self.base_url}/completions", {"model": MODEL_NAME, **body})
        read = data["choices"][0]["prompt_logprobs"][-len(written) :]
        logprobs = [entry[str(token)]["logprob"] for token, entry in zip(written, read, strict=True)]
        del logprobs[len(name)]
        return confidence_of(logprobs)

    async def _tokenized(self, text: str) -> list[int]:
        body = {"model": MODEL_NAME, "prompt": text, "add_special_tokens": False}
        return (await self._post(f"{self.base_url.removesuffix('/v1')}/tokenize", body))["tokens"]

    async def _scored(self, request: Request) -> ScoredReply | None:
        extra = {**request.extra_body, "logprobs": True, "return_token_ids": True, "cache_salt": self.salt}
        body = json.loads(replace(request, extra_body=extra).encode(stream=False))
        try:
            data = await self._post(f"{self.base_url}/chat/completions", body)
        except urllib.error.HTTPError:
            return None
        choice = data["choices"][0]
        content = choice["logprobs"]["content"]
        return ScoredReply(
            reply=decode_reply(data),
            prompt=data["prompt_token_ids"],
            ids=choice["token_ids"],
            tokens=[part["token"] for part in content],
            logprobs=[part["logprob"] for part in content],
        )

    async def _post(self, url: str, body: Mapping[str, Any]) -> Any:
        return await asyncio.to_thread(post_json, url, body)


def post_json(url: str, body: Mapping[str, Any]) -> Any:
    """Return the engine's answer.

    Raises:
        HTTPError: the engine refuses the request.
    """
    # A proxy in the environment cannot reach the loopback address of this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with opener.open(request, timeout=REPLY_TIMEOUT_S) as reply:
        return json.load(reply)


@dataclass(frozen=True, kw_only=True)
class Player:
    """What all plays share."""

    model: Model
    limits: Limits
    scratch: Path
    salt: str
    """Different at each start, so that no play reuses cached prefixes of an interrupted one."""
    ladder: Ladder
    doubt: Doubt | None

    async def play(self, bench_task: BenchTask) -> Play:
        """Play one task, in a copy of its project.

        Raises:
            ConfigError: the task is invalid.
            EndpointError: the server could not be reached before its first answer.
        """
        task = bench_task.task
        with copied(bench_task.project, self.scratch) as workspace:
            model = SureModel(
                model=self.model,
                judge=Judge(task=bench_task, scratch=self.scratch),
                workspace=workspace,
                salt=self.salt,
                doubt=self.doubt,
            )
            agent = Agent.from_task(task, model, environ=environment())
            agent = replace(agent, workspace=workspace, workspace_mode="in_place")
            agent = replace(agent, ladder=self.ladder, limits=self.limits, env={**QUICK, **agent.env})
            outcome = await agent.run(task.rendered_prompt(), images=task.images())
        return Play(
            task=bench_task.name,
            bug_kind=bench_task.bug_kind,
            task_digest=bench_task.digest,
            doubt="" if self.doubt is None else str(self.doubt),
            status=outcome.status,
            reason=outcome.reason.partition("\n")[0][:200],
            requests=model.requests,
            asked_again=model.asked_again,
            computed_tokens=model.computed_tokens,
            edits=tuple(model.edits),
        )
