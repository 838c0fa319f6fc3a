"""Fixtures shared by all tests: one real engine per session, and a ban on connections to other machines."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest
import vision_model
from hypothesis import HealthCheck, settings
from wrapped_model import WrappedModel

if TYPE_CHECKING:
    from agent import Endpoint, Rules, Sandbox, Tool, ToolContext
    from agent.messages import Reply
    from agent.model.wire import Request

# No deadline: a machine shared with other jobs is sometimes slow. CI uses the same examples each time, so that only a
# change of the code can fail it; development runs draw new ones.
settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("house")

ENGINE_URL = "AGENT_TEST_ENGINE_URL"
"""URL of a running pocket engine, such as http://127.0.0.1:8377/v1, to skip the start while writing tests."""

VISION_ENGINE_URL = "AGENT_TEST_VISION_ENGINE_URL"
"""The same for the engine of the model with vision."""


@dataclass(frozen=True, kw_only=True)
class LiveEngine:
    """A real vLLM with a tiny model."""

    base_url: str
    model: str

    def endpoint(self, **settings: Any) -> Endpoint:
        """Return an endpoint for this engine with these settings."""
        from agent import Endpoint

        return Endpoint(self.base_url, **settings)

    def recording_model(self, *, answers: Sequence[Reply | None] = (), **settings: Any) -> RecordingModel:
        """Return a model on this engine that records requests and replies."""
        return RecordingModel(model=self.endpoint(**settings), answers=answers)

    def get(self, path: str) -> str:
        """Return the body of a GET request to a route such as /metrics."""
        with _open(urllib.request.Request(self.base_url.removesuffix("/v1") + path)) as reply:
            return reply.read().decode()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the parsed answer of a POST request to a route such as /tokenize; urllib raises HTTP errors."""
        data = json.dumps(body).encode()
        url = self.base_url.removesuffix("/v1") + path
        with _open(urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})) as reply:
            return json.load(reply)

    def metric(self, name: str) -> float:
        """Return the value of a /metrics counter, summed over its labels."""
        return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", self.get("/metrics"), re.M))


@dataclass(kw_only=True)
class RecordingModel(WrappedModel):
    """An Endpoint that records requests and replies and can change both.

    Every request reaches the real server, even if its reply is replaced, so validation and usage are the server's.
    """

    change: Callable[[Request], Request] = field(default=lambda request: request)
    answers: Sequence[Reply | None] = ()
    """Replacements for the first replies, with the real prompt's usage. None keeps the real reply."""
    requests: list[Request] = field(default_factory=list["Request"])
    replies: list[Reply] = field(default_factory=list["Reply"])
    """Replies as the run received them."""

    async def ask(self, request: Request) -> Reply:
        # Copy the messages: the request shares its list with the history, which grows.
        sent = replace(self.change(request), messages=tuple(request.messages))
        reply = await super().ask(sent)
        answer = self.answers[len(self.replies)] if len(self.replies) < len(self.answers) else None
        self.requests.append(sent)
        if answer is not None and reply.usage is not None:
            # The real reply may have been cut off at the limit; the replacement must not report that many tokens.
            answer = replace(answer, usage=replace(reply.usage, completion_tokens=1, reasoning_tokens=0))
        self.replies.append(answer or reply)
        return self.replies[-1]


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveEngine]:
    """Start the pocket model on the CPU once per session; the start takes about 45 s on two cores."""
    found = os.environ.get(ENGINE_URL)
    if found:
        yield LiveEngine(base_url=found, model="pocket")
        return
    from serving import pocket_engine  # most tests need no engine

    # With its own state folder, these tests neither find nor stop a server that the user left running.
    with pocket_engine(environ={**os.environ, "XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}) as started:
        record = started.start()
        yield LiveEngine(base_url=record.base_url, model=record.model)


@pytest.fixture(scope="session")
def vision_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveEngine]:
    """Start a model with vision of random weights on the CPU once per session."""
    found = os.environ.get(VISION_ENGINE_URL)
    if found:
        yield LiveEngine(base_url=found, model="vision")
        return
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}
    with vision_model.vision_engine(tmp_path_factory.mktemp("vision"), environ=environ) as started:
        record = started.start()
        yield LiveEngine(base_url=record.base_url, model=record.model)


class Nest(Protocol):
    """Builds folders one inside the other, with a file in each; removes them after the test, which pytest cannot do."""

    def __call__(self, top: Path, depth: int = 200, name: str = "d") -> None:
        """Build this many folders of this name, the first of them in `top`."""
        ...


@pytest.fixture
def nest() -> Iterator[Nest]:
    """Return a function that builds folders of any depth."""
    from agent.sandbox.removal import remove_tree

    built: list[Path] = []

    def build(top: Path, depth: int = 200, name: str = "d") -> None:
        built.append(top / name)
        here = os.open(top, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir(name, dir_fd=here)
            below = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
            with os.fdopen(os.open("leaf.txt", os.O_WRONLY | os.O_CREAT, dir_fd=here), "w") as file:
                file.write("deep\n")
        os.close(here)

    yield build
    for path in built:
        assert not os.path.lexists(path) or remove_tree(path)


class Called(Protocol):
    """Calls a tool with a model's arguments and returns the resulting text."""

    async def __call__(self, tool: Tool, context: ToolContext[Any], /, **arguments: object) -> str:
        """Return the tool's result as text, or `!` and the text of its ToolError."""
        ...


@pytest.fixture
def called() -> Called:
    """Return a function that calls tools without a run."""
    from agent import ToolError

    async def call(tool: Tool, context: ToolContext[Any], /, **arguments: object) -> str:
        try:
            return str(await tool.body(tool.arguments.check(json.dumps(arguments)), context))
        except ToolError as error:
            return f"!{error}"

    return call


@dataclass(frozen=True, kw_only=True)
class Held:
    """A FIFO that commands hold open for writing, to see which of their processes are left."""

    read_end: int

    def is_open(self) -> bool:
        """Return whether a process holds it open."""
        try:
            return os.read(self.read_end, 4_096) != b""
        except BlockingIOError:
            return True

    def until_gone(self, timeout_s: float = 5.0) -> bytes:
        """Wait until no process holds it open, and return what they wrote to it."""
        written = b""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                data = os.read(self.read_end, 4_096)
            except BlockingIOError:
                left_s = deadline - time.monotonic()
                assert left_s > 0, "a process is still there"
                assert select.select([self.read_end], [], [], left_s)[0], "a process is still there"
                continue
            if not data:
                return written
            written += data


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    """Yield the FIFO `held` in the test's folder; `exec 3>held` in a shell holds it open with all that it starts."""
    os.mkfifo(tmp_path / "held")
    read_end = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    yield Held(read_end=read_end)
    os.close(read_end)


UntilGone = Callable[[Path], Awaitable[None]]


@pytest.fixture
def until_gone() -> UntilGone:
    """Return a function that waits until the processes listed in a PID file are dead; zombies count as dead."""

    def is_gone(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
        except FileNotFoundError:
            return True

    async def wait(pid_file: Path) -> None:
        deadline = time.monotonic() + 5
        while not all(is_gone(int(pid)) for pid in pid_file.read_text().split()):
            assert time.monotonic() < deadline, "the process is still alive"
            await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test in an empty folder, without the user's state folder and agent environment variables."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("AGENT_BASE_URL", raising=False)
    monkeypatch.delenv("AGENT_RUNS_DIR", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def ban_other_machines() -> None:
    """Fail every test that looks up or connects to another machine."""
    # An audit hook also covers C code, and pytest.fail is not caught by `except Exception`. It cannot be removed.
    sys.addaudithook(_refuse_other_machines)


def _refuse_other_machines(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in {"socket.connect", "socket.sendto", "socket.getaddrinfo"}:
        return
    address = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
    host = address[0] if isinstance(address, tuple) else address
    is_path = event != "socket.getaddrinfo" and not isinstance(address, tuple)  # a unix socket
    if not is_path and not _is_loopback(host):
        pytest.fail(f"A test tried to reach {address!r}. Tests may connect to this machine only.")


def _is_loopback(host: object) -> bool:
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
    """Starts a sleeping process with an engine's mark in its environment, and waits until the mark is visible."""

    def __call__(self, mark: str, /) -> subprocess.Popen[bytes]:
        """Return the process, which the caller must stop."""
        ...


@pytest.fixture
def start_marked() -> StartMarked:
    """Return a function that starts a substitute for an engine's worker process."""
    from serving.running.marks import find_marked, mark_environment

    def start(mark: str) -> subprocess.Popen[bytes]:
        worker = subprocess.Popen(["sleep", "30"], env={"PATH": os.environ["PATH"], **mark_environment(mark)})
        # Just after a start /proc may show an empty environment: 1,004 of 3,000 times on busy processors.
        deadline = time.monotonic() + 30.0
        while worker.pid not in {process.pid for process in find_marked(mark)}:
            assert time.monotonic() < deadline, "the mark never became visible in /proc"
        return worker

    return start


class Walled(Protocol):
    """Finds a sandbox by the name of its wall, or skips the test if this machine lacks it."""

    def __call__(self, wall: str, rules: Rules, /) -> Sandbox:
        """Return the sandbox; `landlock without namespaces` is Landlock as on a machine that refuses them."""
        ...


@pytest.fixture
def walled(request: pytest.FixtureRequest) -> Walled:
    """Return a function that finds a sandbox, including docker's."""
    from agent import find_sandbox

    def find(wall: str, rules: Rules) -> Sandbox:
        image = cast("str", request.getfixturevalue("docker_image")) if wall == "container" else ""
        if missing := why_missing(wall):
            pytest.skip(missing)
        # An error although nothing is missing is our bug.
        found = find_sandbox(cast("Any", wall.split()[0]), rules, image=image)
        return replace(found, namespaces=wall == "landlock")

    return find


@lru_cache
def why_missing(wall: str) -> str:
    """Return why this machine lacks a wall, without using our own command lines. Empty if it has it."""
    from agent.sandbox import landlock

    if wall.startswith("landlock") and landlock.abi() < 4:
        return "the kernel has no Landlock, or one before version 4"
    if wall not in {"bubblewrap", "landlock"}:
        return ""
    bare = [
        shutil.which("unshare") or "", "--user", "--map-current-user", "--pid", "--mount", "--ipc", "--net", "--fork",
        "--mount-proc", "true",
    ]  # fmt: skip
    if wall == "bubblewrap":
        if shutil.which("bwrap") is None or shutil.which("prlimit") is None:
            return "bubblewrap or prlimit is not installed"
        bare = ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "true"]
    tried = subprocess.run(bare, check=False, capture_output=True, text=True)
    return f"{wall} is refused: {tried.stderr.strip()}" if tried.returncode else ""


_PROGRAMS = (
    "bash cat chmod cp diff dmesg env find grep head hostname kill ln ls mkdir mktemp mount mv rm sed seq setsid sh "
    "sleep sort stat tail tar touch tr true truncate umount unshare wc"
)


@pytest.fixture(scope="session")
def docker_image() -> Iterator[str]:
    """Build an image with this machine's shell, Python and a few programs; downloads nothing."""
    version = shutil.which("docker") and subprocess.run(["docker", "version"], check=False, capture_output=True)
    if not version or version.returncode:
        pytest.skip("no docker engine is running")
    programs = {name: shutil.which(name) or "" for name in _PROGRAMS.split()}
    assert all(programs.values()), programs
    interpreter, library = Path(sys.executable).resolve(), Path(os.__file__).parent
    files = {f"bin/{name}": Path(path).resolve() for name, path in programs.items()}
    files |= {f"usr/local/bin/{name}": interpreter for name in ("python", "python3")}
    for program in (*files.values(), *library.glob("lib-dynload/*.so")):
        libraries = subprocess.run(["ldd", str(program)], check=False, capture_output=True, text=True).stdout
        files |= {word.lstrip("/"): Path(word).resolve() for word in libraries.split() if word.startswith("/")}
    # The C library loads it by its name when a thread ends.
    files |= {str(path).lstrip("/"): path.resolve() for path in Path("/").glob("lib*/**/libgcc_s.so.1")}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, source in files.items():
            tar.add(source, path)
        for path in library.rglob("*"):
            if path.is_file() and not {"site-packages", "test", "__pycache__"} & set(path.relative_to(library).parts):
                tar.add(path, f"usr/local/lib/{library.name}/{path.relative_to(library)}")
    name = f"tramontane-test:{os.getpid()}"
    subprocess.run(["docker", "import", "-", name], input=archive.getvalue(), check=True, capture_output=True)
    yield name
    subprocess.run(["docker", "image", "rm", name], check=False, capture_output=True)
