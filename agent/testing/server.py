"""A real HTTP server on the loopback interface that answers from a script, in its own thread; for tests only."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeAlias

from ..messages import Reply
from . import responses
from .faults import Fault, http_error, raw
from .legality import grammar_refusal, is_tiny, refusal
from .received import Received, receive
from .replies import checked_script

Answer: TypeAlias = Reply | Mapping[str, Any] | Fault
"""A reply; the body of a completion as JSON, malformed or not; or a Fault. The first two are streamed if requested."""

ScriptedAnswer: TypeAlias = Answer | Callable[[Received], Answer]


class ScriptedServer:
    """An OpenAI-compatible server whose chat completions come from a list; a context manager, sync and async.

    It starts with the `with` block or with `start`, and stops at the end of the block or with `close`.

    It answers /v1/models, /v1/chat/completions (whole or streamed), /tokenize, /health and /metrics.
    """

    def __init__(
        self,
        answers: Iterable[ScriptedAnswer] = (),
        *,
        model: str = "scripted",
        window_tokens: int | None = 32_768,
        strict: bool = False,
        refused_grammars: Collection[str] = (),
        tokenize: bool = True,
        metrics: str = "",
    ) -> None:
        """Create a server from a script; it does not listen before `start` or the `with` block.

        Args:
            answers: one for each chat completion request; may be infinite. A request beyond its end gets HTTP 410.
            model: the name under which the model is served.
            window_tokens: `max_model_len` in /v1/models. None means that it is left out.
            strict: refuse with 400 what a Mistral server would refuse: illegal ids, names, orders, arguments.
            refused_grammars: names of tools that are refused with 400 if they are sent with `strict`, as vLLM does it
                of a schema that it does not compile. Such a request takes no answer of the script; nor does one of a
                single message and `max_tokens` 1, which is answered.
            tokenize: answer /tokenize; otherwise 404, like a server without that route.
            metrics: text of /metrics. Empty means 404.

        Raises:
            ConfigError: `answers` is a list with something else in it, or a single answer.
        """
        self.model = model
        self.window_tokens = window_tokens
        self.requests: list[Received] = []
        """Every request so far, whatever its path."""
        self.refusals: list[str] = []
        """Why requests were refused, when `strict`."""
        advice = "Give says(...), calls(...), a fault, the body of a completion, or a function of the request."
        self._answers: Iterator[ScriptedAnswer] = iter(
            checked_script(answers, "answer", (Reply, Mapping, Fault), advice)
        )
        self._strict = strict
        self._refused_grammars = frozenset(refused_grammars)
        self._tokenize = tokenize
        self._metrics = metrics
        self._port = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._main_task: asyncio.Task[None] | None = None
        self._conversations: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The base URL, ending in /v1."""
        assert self._port, "start the server first: with ScriptedServer(...) as server"
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The JSON of every chat completion request so far."""
        return [request.json for request in self.requests if request.path == "/v1/chat/completions"]

    def start(self) -> Self:
        """Listen on a free loopback port; returns when connections are accepted.

        A started server stays as it is; a closed one listens on the same port again.

        Raises:
            OSError: it cannot listen, such as after `close` when another program has taken the port.
        """
        if self._thread is None:
            started: Future[None] = Future()
            thread = threading.Thread(target=self._serve, args=(started,), name="scripted", daemon=True)
            thread.start()
            started.result()
            self._thread = thread
        return self

    def close(self) -> None:
        """Drop every connection and stop; a second call does nothing."""
        if self._thread is None or self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Everything below runs in the server's own thread.

    def _serve(self, started: Future[None]) -> None:
        try:
            asyncio.run(self._main(started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _main(self, started: Future[None]) -> None:
        self._loop, self._main_task = asyncio.get_running_loop(), asyncio.current_task()
        self._stop = asyncio.Event()
        await self._listen()
        started.set_result(None)
        await self._stop.wait()
        await self._close_listener()
        conversations = tuple(self._conversations)
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
        await asyncio.sleep(0)  # an aborted transport closes its socket in the loop's next iteration

    async def _close_listener(self) -> None:
        """Accept no more connections; those that the kernel has already handed over become conversations first."""
        if self._listener is None:
            return
        loop = asyncio.get_running_loop()
        for listening in self._listener.sockets:
            loop.remove_reader(listening.fileno())
        # A server that is closed while asyncio sets up a connection leaves that connection's socket open (3.11), and
        # a conversation that is cancelled before its first step does not close it either.
        arriving = asyncio.all_tasks() - self._conversations - {self._main_task}
        if arriving:
            await asyncio.wait(arriving)
        await asyncio.sleep(0)
        self._listener.close()

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._listener.sockets[0].getsockname()[1]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Create the task ourselves: asyncio reports one of its own as an error when it is cancelled at the end (3.11).
        task = asyncio.get_running_loop().create_task(self._converse(reader, writer))
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await receive(reader)) is not None:
                self.requests.append(request)
                if not await self._send(request, self._route(request), reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    def _route(self, request: Received) -> Answer:
        routes: dict[tuple[str, str], Callable[[Received], Answer]] = {
            ("GET", "/v1/models"): self._models,
            ("GET", "/health"): lambda _: raw(b""),
            ("POST", "/v1/chat/completions"): self._chat,
        }
        if self._tokenize:
            routes["POST", "/tokenize"] = self._tokens
        if self._metrics:
            routes["GET", "/metrics"] = lambda _: raw(self._metrics, content_type="text/plain")
        route = routes.get((request.method, request.path))
        return http_error(404, "Not Found", kind="NotFoundError") if route is None else route(request)

    def _models(self, _: Received) -> Answer:
        card: dict[str, Any] = {"id": self.model, "object": "model", "owned_by": "scripted"}
        if self.window_tokens is not None:
            card["max_model_len"] = self.window_tokens
        return raw({"object": "list", "data": [card]})

    def _tokens(self, request: Received) -> Answer:
        # Four bytes per token: equal prefixes give equal tokens, which is all that a prefix cache needs.
        prompt = json.dumps([request.json.get("tools"), request.json["messages"]]).encode()
        tokens = [int.from_bytes(prompt[at : at + 4]) for at in range(0, len(prompt), 4)]
        return raw({"count": len(tokens), "max_model_len": self.window_tokens, "tokens": tokens, "token_strs": None})

    def _chat(self, request: Received) -> Answer:
        reason = refusal(request.json) if self._strict else None
        if self._refused_grammars:
            reason = reason or grammar_refusal(request.json, self._refused_grammars)
            if reason is None and is_tiny(request.json):
                return Reply(content="H", finish_reason="length")
        if reason is not None:
            self.refusals.append(reason)
            return http_error(400, reason, kind="BadRequestError")
        answer = next(self._answers, None)
        if answer is None:
            return http_error(410, "The script has ended: no answer is left for this request.")
        return answer(request) if callable(answer) else answer

    async def _send(
        self, request: Received, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Send the answer; return whether the connection can be used again."""
        fault = answer if isinstance(answer, Fault) else Fault()
        content = fault.reply if isinstance(answer, Fault) else answer
        await asyncio.sleep(fault.delay_s)
        if fault.status is not None:
            response = responses.render(fault, content, request.json, self.model)
            writer.write(responses.head(fault.status, response, fault.headers))
            for part in responses.share(response, fault):
                writer.write(part)
                await writer.drain()
        return await self._end(fault, reader, writer)

    async def _end(self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        match fault.ending:
            case "whole":
                return True
            case "close":
                writer.close()
                await writer.wait_closed()
            case "reset" | "restart":
                # A linger time of 0 makes the kernel send a reset instead of closing the connection in order.
                sock: socket.socket = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                if fault.ending == "restart":
                    await self._close_listener()
                    await asyncio.sleep(fault.down_s)
                    await self._listen()
            case "stall":
                await reader.read(1)
            case "keep_alive":
                await _comment(reader, writer)
        return False


async def _comment(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    comment = b": keep-alive\n\n"
    while True:
        try:
            async with asyncio.timeout(0.02):
                await reader.read(1)
            return
        except TimeoutError:
            writer.write(b"%x\r\n%s\r\n" % (len(comment), comment))
