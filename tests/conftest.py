"""Fixtures that every test shares: one real engine per session, and no socket that leaves this machine."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from agent import Endpoint, Tool, ToolContext
    from agent.messages import Reply
    from agent.model.profiles import Profile
    from agent.model.protocol import Connection, Served, TokenCount
    from agent.model.wire import Request
    from serving import ServerRecord

# A machine shared with other jobs is slow at times, which says nothing of the code. And CI judges a change, not the
# luck of the draw: there the examples are the same each time, while those who develop see new ones.
settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("house")

ENGINE_URL = "AGENT_TEST_ENGINE_URL"
"""Names a running pocket engine such as http://127.0.0.1:8377/v1, to spare the start while tests are written."""


@dataclass(frozen=True, kw_only=True)
class LiveEngine:
    """A real vLLM with the pocket model."""

    base_url: str
    model: str
    pid: int | None
    """Leader of its process group. None: it was started by somebody else, and is left alone."""
    start_again: Callable[[], object]
    """Starts another one at the same address, after this one was killed."""

    def endpoint(self, **settings: Any) -> Endpoint:
        """Return an endpoint of it with these settings."""
        from agent import Endpoint

        return Endpoint(self.base_url, **settings)

    def watched(self, *, answers: Sequence[Reply | None] = (), **settings: Any) -> Watched:
        """Return a model of it that keeps what is asked and answered."""
        return Watched(endpoint=self.endpoint(**settings), answers=answers)

    def get(self, path: str) -> str:
        """Return the text of a route, such as /metrics."""
        with _open(urllib.request.Request(self.base_url.removesuffix("/v1") + path)) as reply:
            return reply.read().decode()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the answer of a route, such as /tokenize; an HTTP error is raised as urllib raises it."""
        data = json.dumps(body).encode()
        url = self.base_url.removesuffix("/v1") + path
        with _open(urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})) as reply:
            return json.load(reply)

    def metric(self, name: str) -> float:
        """Return the sum of one counter of /metrics over its labels."""
        return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", self.get("/metrics"), re.M))


@dataclass(kw_only=True)
class Watched:
    """A model that is an Endpoint, whose requests and replies are kept, and may be changed on their way.

    Every request reaches the real server, also one whose reply is replaced: the server's judgement and usage are real.
    """

    endpoint: Endpoint
    change: Callable[[Request], Request] = field(default=lambda request: request)
    answers: Sequence[Reply | None] = ()
    """What the run gets instead of the first replies; the prompt's usage is kept. None: the real one."""
    requests: list[Request] = field(default_factory=list["Request"])
    replies: list[Reply] = field(default_factory=list["Reply"])
    """As the run got them."""

    @property
    def base_url(self) -> str:
        return self.endpoint.base_url

    @property
    def profile(self) -> Profile | None:
        return self.endpoint.profile

    @property
    def patience_s(self) -> float:
        return self.endpoint.patience_s

    @property
    def first_wait_s(self) -> float:
        return self.endpoint.first_wait_s

    @asynccontextmanager
    async def open(self, *, session: str | None = None) -> AsyncGenerator[Connection]:
        async with self.endpoint.open(session=session) as connection:
            self._connection = connection
            yield self

    async def served(self) -> Served:
        return await self._connection.served()

    async def count(self, request: Request) -> TokenCount | None:
        return await self._connection.count(request)

    async def ask(self, request: Request) -> Reply:
        # The messages of a request are the history's own list, which grows.
        sent = replace(self.change(request), messages=tuple(request.messages))
        reply = await self._connection.ask(sent)
        answer = self.answers[len(self.replies)] if len(self.replies) < len(self.answers) else None
        self.requests.append(sent)
        if answer is not None and reply.usage is not None:
            # The real reply may have run on until it was cut; the one in its place was not.
            answer = replace(answer, usage=replace(reply.usage, completion_tokens=1, reasoning_tokens=0))
        self.replies.append(answer or reply)
        return self.replies[-1]


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveEngine]:
    """The pocket model on the CPU, started once; the start takes about 45 s on two cores."""
    found = os.environ.get(ENGINE_URL)
    if found:
        yield LiveEngine(base_url=found, model="pocket", pid=None, start_again=lambda: None)
        return
    from serving import pocket_engine  # most tests need no engine

    # A state folder of its own: these tests neither find nor end a server that the user has left running.
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}
    with ExitStack() as started:

        def start(port: int | None = None) -> ServerRecord:
            return started.enter_context(pocket_engine(port, environ=environ)).start()

        record = start()
        port = urlsplit(record.base_url).port
        yield LiveEngine(base_url=record.base_url, model=record.model, pid=record.pid, start_again=lambda: start(port))


class Called(Protocol):
    """Calls a tool with arguments as a model writes them, and returns the text that comes back."""

    async def __call__(self, tool: Tool, context: ToolContext[Any], /, **arguments: object) -> str:
        """Return what the tool returns, or the text of its ToolError after `!`."""
        ...


@pytest.fixture
def called() -> Called:
    """Call tools without a run."""
    from agent import ToolError

    async def call(tool: Tool, context: ToolContext[Any], /, **arguments: object) -> str:
        try:
            return str(await tool.body(tool.arguments.check(json.dumps(arguments)), context))
        except ToolError as error:
            return f"!{error}"

    return call


UntilGone = Callable[[Path], Awaitable[None]]


@pytest.fixture
def until_gone() -> UntilGone:
    """Wait until the process whose number a file holds is dead; a zombie that nobody has collected counts as dead."""

    def is_gone(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
        except FileNotFoundError:
            return True

    async def wait(pid_file: Path) -> None:
        deadline = time.monotonic() + 5
        while not all(is_gone(int(pid)) for pid in pid_file.read_text().split()):
            assert time.monotonic() < deadline, "the process is still there"
            await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder; nothing of the user's own state or environment is seen."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("AGENT_BASE_URL", raising=False)
    monkeypatch.delenv("AGENT_RUNS_DIR", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def stay_on_this_machine() -> None:
    """Fail a test that looks up or connects to another machine."""
    # An audit hook also sees what C code does, and cannot be caught by `except Exception`; it stays until the end.
    sys.addaudithook(_refuse_other_machines)


def _refuse_other_machines(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in {"socket.connect", "socket.sendto", "socket.getaddrinfo"}:
        return
    address = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
    host = address[0] if isinstance(address, tuple) else address
    is_path = event != "socket.getaddrinfo" and not isinstance(address, tuple)  # a unix socket
    if not is_path and not _is_here(host):
        pytest.fail(f"A test tried to reach {address!r}. Tests talk to this machine only.")


def _is_here(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name is None or name in {"", "localhost"}:
        return True
    try:
        return ip_address(str(name)).is_loopback
    except ValueError:
        return False


def _open(request: urllib.request.Request) -> Any:
    # A proxy in the environment cannot reach the loopback address of this machine.
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60)


class StartMarked(Protocol):
    """Starts a process that sleeps and carries the mark of an engine, and waits until that can be seen."""

    def __call__(self, mark: str, /) -> subprocess.Popen[bytes]:
        """Return it; whoever asked for it ends it."""
        ...


@pytest.fixture
def start_marked() -> StartMarked:
    """Stand in for a worker of an engine."""
    from serving.running.marks import mark_environment, marked

    def start(mark: str) -> subprocess.Popen[bytes]:
        worker = subprocess.Popen(["sleep", "30"], env={"PATH": os.environ["PATH"], **mark_environment(mark)})
        # For a moment after its start /proc shows no environment of it: 1,004 of 3,000 times on busy processors.
        until = time.monotonic() + 30.0
        while worker.pid not in {process.pid for process in marked(mark)}:
            assert time.monotonic() < until, "it never showed its mark"
        return worker

    return start


_PROGRAMS = (
    "bash cat chmod cp diff dmesg env find grep head hostname kill ln ls mkdir mktemp mount mv rm sed seq setsid sh "
    "sleep sort stat tail tar touch tr true truncate umount unshare wc"
)


@pytest.fixture(scope="session")
def docker_image() -> Iterator[str]:
    """An image of the shell, a few programs and the Python of this machine; nothing is fetched."""
    asked = shutil.which("docker") and subprocess.run(["docker", "version"], check=False, capture_output=True)
    if not asked or asked.returncode:
        pytest.skip("no docker engine runs here")
    programs = {name: shutil.which(name) or "" for name in _PROGRAMS.split()}
    assert all(programs.values()), programs
    interpreter, library = Path(sys.executable).resolve(), Path(os.__file__).parent
    files = {f"bin/{name}": Path(path).resolve() for name, path in programs.items()}
    files |= {f"usr/local/bin/{name}": interpreter for name in ("python", "python3")}
    for program in (*files.values(), *library.glob("lib-dynload/*.so")):
        said = subprocess.run(["ldd", str(program)], check=False, capture_output=True, text=True).stdout
        files |= {word.lstrip("/"): Path(word).resolve() for word in said.split() if word.startswith("/")}
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path, source in files.items():
            tar.add(source, path)
        for path in library.rglob("*"):
            if path.is_file() and not {"site-packages", "test", "__pycache__"} & set(path.relative_to(library).parts):
                tar.add(path, f"usr/local/lib/{library.name}/{path.relative_to(library)}")
    name = f"tramontane-test:{os.getpid()}"
    subprocess.run(["docker", "import", "-", name], input=made.getvalue(), check=True, capture_output=True)
    yield name
    subprocess.run(["docker", "image", "rm", name], check=False, capture_output=True)
