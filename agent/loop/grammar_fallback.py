"""Send a request; where the server cannot compile a tool's grammar, find the tool, send it loose and remember that."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from ..errors import EndpointRejected
from ..journal.events import Loosened
from ..messages import Reply
from ..model.refused_grammars import RefusedGrammars
from ..model.wire import Request
from .dependencies import RunDependencies
from .state import RunState

# vLLM 0.32: "Grammar error: at 3(193): failed to compile JSON schema: ..." (guidance), "The provided JSON schema
# contains features not supported by xgrammar." and "Failed to transform json schema into a grammar: ..." (xgrammar),
# "Invalid structural tag specification."; mistral_common 1.12: "Tool schema is invalid". SGLang and llama.cpp speak of
# a grammar, a JSON schema or a regex too. Whether it is one of the tools is then tried.
_REFUSAL = re.compile(r"grammar|schema|structur(?:ed|al)[ _-]?(?:output|tag)|regex", re.IGNORECASE)
_MAX_NAMED = 3
_HELLO = json.dumps({"role": "user", "content": "Hello"}).encode()


class GrammarFallback:
    """The tools as one run sends them to its server."""

    def __init__(self, state: RunState, deps: RunDependencies) -> None:
        self._state = state
        self._deps = deps
        shared = getattr(deps.connection, "refused_grammars", None)  # only an Endpoint's connection has it
        self._memory = shared if isinstance(shared, RefusedGrammars) else RefusedGrammars()
        self._server = f"{state.started.base_url} {state.started.model}"

    def definitions(self, *, strict: bool) -> bytes:
        """Return the `tools` value of a request; `strict` is whether the server accepts `strict: true`."""
        toolbox = self._deps.toolbox
        if not strict:
            return toolbox.loose_definitions
        loose = self._state.loose_tools
        return toolbox.definitions_of(toolbox.names, loose=loose) if loose else toolbox.definitions

    def recall(self) -> bool:
        """Send those tools loose that this server is known to refuse; return whether there were new ones."""
        known = self._memory.known(self._server) if self._state.profile.surface.strict else frozenset[str]()
        found = [name for name in self._strict() if known and self._deps.toolbox.fingerprint(name) in known]
        if found:
            self._loosen(found, "an earlier request was refused")
        return bool(found)

    async def ask(self, request: Request) -> Reply:
        """Send a request, and send it again with fewer grammars if the server refuses some.

        Raises:
            EndpointError: The server refused it for another reason, or did not answer.
        """
        try:
            return await self._deps.connection.ask(request)
        except EndpointRejected as error:
            if error.status not in {400, 422} or request.tools == b"[]" or not _REFUSAL.search(error.reason):
                raise
            refusal = error
        async with self._memory.searching():
            # Another run on this server may have found the tools meanwhile.
            if not self.recall():
                found = await self._refused(self._strict(), refusal.reason, loose=False)
                if not found:
                    raise await self._explained(refusal) from refusal
                self._loosen(found, refusal.reason)
                self._memory.add(self._server, map(self._deps.toolbox.fingerprint, found))
        return await self.ask(replace(request, tools=self.definitions(strict=self._state.profile.surface.strict)))

    def _strict(self) -> list[str]:
        if not self._state.profile.surface.strict:
            return []
        return [name for name in self._deps.toolbox.names if name not in self._state.loose_tools]

    def _loosen(self, tools: Sequence[str], reason: str) -> None:
        self._deps.record(Loosened(step=self._state.step, tools=tuple(tools), reason=reason))

    async def _refused(self, names: Sequence[str], reason: str, *, loose: bool) -> list[str]:
        """Return the tools that the server refuses, in the shortest requests there are. Empty if it takes them all."""
        if not names or not await self._is_refused(names, loose=loose):
            return []
        named = [name for name in names if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", reason)]
        if len(named) > _MAX_NAMED or len(names) <= _MAX_NAMED:
            return await self._halved(names, loose=loose)
        found = [name for name in named if await self._is_refused([name], loose=loose)]
        rest = [name for name in names if name not in found]
        is_more = bool(rest) and (not found or await self._is_refused(rest, loose=loose))
        return found + (await self._halved(rest, loose=loose) if is_more else [])

    async def _halved(self, names: Sequence[str], *, loose: bool) -> list[str]:
        """Return the refused ones among tools that are refused together; all if they are only refused together."""
        if len(names) == 1:
            return list(names)
        middle = len(names) // 2
        found: list[str] = []
        for half in (names[:middle], names[middle:]):
            if await self._is_refused(half, loose=loose):
                found += await self._halved(half, loose=loose)
        return found or list(names)

    async def _is_refused(self, names: Sequence[str], *, loose: bool) -> bool:
        tools = self._deps.toolbox.definitions_of(names, loose=names if loose else ())
        surface = self._state.profile.surface
        request = Request(
            model=self._state.started.model, messages=[_HELLO], tools=tools, max_tokens=1,
            reply_field=surface.reply_field, stream=surface.stream, stream_usage=surface.stream_usage,
        )  # fmt: skip
        try:
            await self._deps.connection.ask(request)
        except EndpointRejected as error:
            if error.status in {400, 422}:
                return _REFUSAL.search(error.reason) is not None
            raise
        return False

    async def _explained(self, refusal: EndpointRejected) -> EndpointRejected:
        """Return the error with the tools that the server does not take in any form, if there are some."""
        names = [name for name in self._deps.toolbox.names if name not in self._strict()]
        found = await self._refused(names, refusal.reason, loose=True)
        if not found:
            return refusal
        listed = ", ".join(found)
        reason = (
            f"{refusal.reason.rstrip('.')}. The server refuses the definition of {listed} even without a grammar. "
            "Leave it out: remove it from `tools`, or list the other tools of its MCP server in `mcp.NAME.tools`"
        )
        return EndpointRejected(reason, url=refusal.url, status=refusal.status)
