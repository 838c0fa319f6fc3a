"""Attacks on the machine by shell commands: each succeeds without the sandbox, and is contained with it."""

from __future__ import annotations

import ctypes
import os
import platform
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from agent import ConfigError, Rules, Sandbox, find_sandbox
from agent.sandbox import CommandLimits, Isolation, Shared, bubblewrap, landlock, seccomp

if TYPE_CHECKING:
    from conftest import Walled

SECRET = "canary-5d1f0c"
JOURNAL = ".local/state/tramontane/runs/r/journal.jsonl"
ROOT = os.geteuid() == 0
PYTHON = str(Path(sys.executable).parent)
SMALL = CommandLimits(processes=64, memory_mb=600, file_mb=20, cpu_s=20)
LIMITED = Rules(limits=SMALL)
WALLS = ("bubblewrap", "landlock", "landlock without namespaces", "container")


@dataclass(kw_only=True)
class Scene:
    """A workspace, the files beside it, and the processes and sockets of this machine."""

    workspace: Path
    outside: Path
    home: Path
    victim: subprocess.Popen[bytes]
    port: int
    sockets: Path
    datagrams: socket.socket
    shared: Shared | None = None
    """What the commands of a run share. None for a command alone, such as a verification."""
    reached: list[str] = field(default_factory=list[str])

    @property
    def env(self) -> Mapping[str, str]:
        return {
            "PATH": f"{PYTHON}:{os.defpath}", "HOME": str(self.home), "OUT": str(self.outside), "VICTIM":
            str(self.victim.pid), "PORT": str(self.port), "SOCKETS": str(self.sockets),
        }  # fmt: skip

    def has_datagram(self) -> bool:
        try:
            return self.datagrams.recv(99) == b"PWNED"
        except BlockingIOError:
            return False

    def run(self, sandbox: Sandbox, command: str, *, timeout_s: float = 30.0) -> str:
        argv = ["/bin/bash", "-c", command]
        with sandbox.launch(argv, workspace=self.workspace, env=self.env, shared=self.shared) as launch:
            ran = subprocess.run(
                launch.argv, env=dict(launch.env), pass_fds=launch.pass_fds, cwd=self.workspace, timeout=timeout_s,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        return ran.stdout.decode(errors="replace")


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A command, and how to see whether it succeeded."""

    name: str
    command: str
    won: Callable[[Scene, str], bool]
    wins_in: tuple[str, ...] = ()
    """Walls behind which it is known to succeed, `landlock` for both of it; in a container it may: newer engines stop
    more."""
    root_only: bool = False
    """Without a sandbox, it succeeds only for root."""

    def may_win(self, wall: str) -> bool:
        return wall in self.wins_in or wall.split()[0] in self.wins_in


def _leaked(_: Scene, output: str) -> bool:
    return SECRET in output


def _pwned(_: Scene, output: str) -> bool:
    return "PWNED" in output


def _touched(name: str) -> Callable[[Scene, str], bool]:
    return lambda scene, _: (scene.outside / name).exists()


def _changed(scene: Scene, _: str) -> bool:
    return (scene.outside / "file").read_text() != "as it was"


def _in_workspace(name: str, holds: str) -> Callable[[Scene, str], bool]:
    return lambda scene, _: holds in (scene.workspace / name).read_text()


def _py(code: str) -> str:
    return f"python - <<'E'\n{code}\nE"


_FILL = "head -c 60000000 /dev/zero > big; [ $(stat -c %s big) -gt 40000000 ] && echo PWNED"

ATTACKS: Sequence[Attack] = (
    Attack(name="write outside", command="echo x > $OUT/new", won=_touched("new")),
    Attack(name="overwrite outside", command="echo x > $OUT/file", won=_changed),
    Attack(name="append outside", command="echo x >> $OUT/file", won=_changed),
    Attack(name="truncate outside", command="truncate -s 0 $OUT/file", won=_changed),
    Attack(name="delete outside", command="rm -rf $OUT/folder", won=lambda s, _: not (s.outside / "folder").exists()),
    Attack(name="rename outside", command="mv $OUT/file $OUT/moved", won=_touched("moved")),
    Attack(name="move out of the workspace", command="echo x > n; mv n $OUT/moved", won=_touched("moved")),
    Attack(
        name="dotfile at home",
        command="echo x > ~/.bashrc; echo x > $OUT/../home/.bashrc",
        won=lambda s, _: (s.home / ".bashrc").exists(),
    ),
    Attack(name="secret at home", command="cat $OUT/../home/.netrc", won=_leaked),
    Attack(name="secret by a deep path", command="cat ../../../../../../../../../../$OUT/secret", won=_leaked),
    Attack(name="secret by a symbolic link", command="ln -s $OUT/secret s; cat s", won=_leaked),
    Attack(name="secret by /proc/self/root", command="cat /proc/self/root/$OUT/secret", won=_leaked),
    Attack(name="write through a linked folder", command="ln -s $OUT d; echo x > d/new", won=_touched("new")),
    Attack(name="hard link, then write", command="ln $OUT/file h && echo x > h", won=_changed),
    Attack(
        name="tar with absolute paths",
        command=('mkdir -p t; echo x > t/new; tar -cPf a.tar --transform "s|^t|$OUT|" t/new; tar -xPf a.tar'),
        won=_touched("new"),
    ),
    Attack(
        name="archive with a link to the outside",
        command=_py(
            "import io,os,tarfile\n"
            "with tarfile.open('a.tar','w') as made:\n"
            "    link=tarfile.TarInfo('d'); link.type=tarfile.SYMTYPE; link.linkname=os.environ['OUT']\n"
            "    made.addfile(link); made.addfile(tarfile.TarInfo('d/new'), io.BytesIO())\n"
            "tarfile.open('a.tar').extractall(filter=lambda member, path: member)"
        ),
        won=_touched("new"),
    ),
    Attack(
        name="archive that grows",
        command=_py(
            "import os,zipfile\n"
            "with zipfile.ZipFile('a.zip','w',zipfile.ZIP_DEFLATED) as made:\n"
            "    made.writestr('big', bytes(60_000_000))\n"
            "print(os.path.getsize('a.zip'))\nzipfile.ZipFile('a.zip').extractall()\n"
            "print('PWNED' if os.path.getsize('big') > 40_000_000 else '')"
        ),
        won=_pwned,
    ),
    Attack(
        name="journal of a run",
        command="echo forged >> $OUT/../home/.local/state/tramontane/runs/r/journal.jsonl",
        won=lambda s, _: "forged" in (s.home / JOURNAL).read_text(),
    ),
    Attack(name="environment of another process", command="tr '\\0' '\\n' < /proc/$VICTIM/environ", won=_leaked),
    Attack(
        name="memory of another process", command="head -c 1 /proc/$VICTIM/maps | grep -q . && echo PWNED", won=_pwned
    ),
    Attack(
        name="command line of another process",
        command="cat /proc/*/cmdline | tr '\\0' ' '",
        won=_leaked,
        wins_in=("landlock without namespaces",),
    ),
    Attack(name="folder of another process", command="cat /proc/$VICTIM/cwd/outside/secret", won=_leaked),
    Attack(
        name="root of another process", command="for p in /proc/[0-9]*; do cat $p/root/$OUT/secret; done", won=_leaked
    ),
    Attack(
        name="descriptor of another process",
        command="for p in /proc/[0-9]*/fd/*; do readlink $p; done | grep -q outside/secret && echo PWNED",
        won=_pwned,
    ),
    Attack(
        name="trace another process",
        command=_py(
            "import ctypes,os\nlibc=ctypes.CDLL(None)\npid=int(os.environ['VICTIM'])\n"
            "print('PWNED' if libc.ptrace(0x4206,pid,None,None)==0 else '')"
        ),
        won=_pwned,
        root_only=True,
    ),
    Attack(
        name="shared memory segment of the machine",
        command=_py(
            "import ctypes,os\nlibc=ctypes.CDLL(None)\nlibc.shmat.restype=ctypes.c_void_p\n"
            "at=libc.shmat(libc.shmget(int(os.environ['PORT']),0,0),None,0o10000)\n"
            "print(ctypes.string_at(at) if at and at!=2**64-1 else '')"
        ),
        won=_leaked,
        wins_in=("landlock without namespaces",),
    ),
    Attack(
        name="kill another process", command="kill -9 $VICTIM; sleep 0.2", won=lambda s, _: s.victim.poll() is not None
    ),
    Attack(name="TCP to the machine", command="exec 3<>/dev/tcp/127.0.0.1/$PORT && cat <&3", won=_leaked),
    Attack(
        name="TCP from Python",
        command=_py(
            "import os,socket\nprint(socket.create_connection(('127.0.0.1',int(os.environ['PORT']))).recv(99))"
        ),
        won=_leaked,
    ),
    Attack(
        name="UDP to the machine",
        command=_py(
            "import os,socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
            "s.sendto(b'udp',('127.0.0.1',int(os.environ['PORT'])))"
            "\ns.settimeout(0.5)\nprint(s.recv(99))"
        ),
        won=_leaked,
    ),
    Attack(
        name="unix socket",
        command=_py(
            "import os,socket\ns=socket.socket(socket.AF_UNIX)\ns.connect(os.environ['SOCKETS']+'/s')\n"
            "print(s.recv(99))"
        ),
        won=_leaked,
    ),
    Attack(
        name="unix datagram socket",
        command=_py(
            "import os,socket\na,b=socket.socketpair(socket.AF_UNIX,socket.SOCK_DGRAM)\n"
            "a.sendto(b'PWNED',os.environ['SOCKETS']+'/d')"
        ),
        won=lambda s, _: s.has_datagram(),
    ),
    Attack(
        name="unix datagram socket, raw",
        command=_py(
            "import os,socket\na,b=socket.socketpair(socket.AF_UNIX,socket.SOCK_RAW)\n"
            "a.connect(os.environ['SOCKETS']+'/d')\na.send(b'PWNED')"
        ),
        won=lambda s, _: s.has_datagram(),
    ),
    Attack(
        name="abstract unix socket",
        command=_py(
            "import os,socket\ns=socket.socket(socket.AF_UNIX)\n"
            f"s.connect('\\0{SECRET[:6]}'+os.environ['PORT'])\nprint(s.recv(99))"
        ),
        won=_leaked,
    ),
    Attack(
        name="vsock",
        command=_py("import socket\nsocket.socket(40, 1)\nprint('PWNED')"),
        won=_pwned,
        wins_in=("container",),
    ),
    Attack(
        name="packet socket",
        command=_py("import socket\nsocket.socket(17, 3)\nprint('PWNED')"),
        won=_pwned,
        root_only=True,
    ),
    Attack(name="too much memory", command=_py("b = bytearray(1_500_000_000)\nprint('PWN' 'ED', len(b))"), won=_pwned),
    Attack(
        name="too large a file",
        command=_FILL,
        won=_pwned,
    ),
    Attack(
        name="limits raised again",
        command=f"ulimit -f unlimited; {_FILL}",
        won=_pwned,
    ),
    Attack(name="temporary folder of the machine", command="cat /tmp/tramontane-$PORT", won=_leaked),
    Attack(
        name="shared memory of the machine",
        command="echo x > /dev/shm/$PORT",
        won=lambda s, _: Path(f"/dev/shm/{s.port}").exists(),
    ),
    Attack(
        name="set-user-ID file",
        command="cp /bin/true s; chmod 4755 s; [ -u s ] && echo PWNED",
        won=_pwned,
        wins_in=("container",),
    ),
    Attack(
        name="set-user-ID file by open",
        command=_py(
            "import os\nos.umask(0)\nos.close(os.open('s', os.O_CREAT|os.O_WRONLY, 0o4755))\n"
            "print('PWNED' if os.stat('s').st_mode & 0o4000 else '')"
        ),
        won=_pwned,
        wins_in=("container",),
    ),
    Attack(
        name="git hook",
        command="echo x > .git/hooks/pre-commit",
        won=lambda s, _: (s.workspace / ".git/hooks/pre-commit").exists(),
        wins_in=("landlock",),
    ),
    Attack(
        name="git settings",
        command="echo '[core] fsmonitor=evil' >> .git/config",
        won=_in_workspace(".git/config", "evil"),
        wins_in=("landlock",),
    ),
    Attack(
        name="git settings by a hard link",
        command="ln .git/config h && echo evil >> h",
        won=_in_workspace(".git/config", "evil"),
        wins_in=("landlock",),
    ),
    Attack(
        name="another .git",
        command="mv .git old && mkdir .git && echo evil > .git/config",
        won=_in_workspace(".git/config", "evil"),
        wins_in=("landlock",),
    ),
    Attack(
        name="kernel settings", command=": >> /proc/sys/kernel/core_pattern && echo PWNED", won=_pwned, root_only=True
    ),
    Attack(
        name="shadow",
        command="head -c 4 /etc/shadow | grep -q : && echo PWNED; grep -q '^root:' /etc/shadow && echo PWNED",
        won=_pwned,
        root_only=True,
    ),
    Attack(
        name="mount", command="mkdir -p m; mount -t tmpfs none m && echo PWNED; umount m", won=_pwned, root_only=True
    ),
    Attack(name="device of a disk", command="mknod d b 254 0 && echo PWNED", won=_pwned, root_only=True),
    Attack(
        name="capabilities of a file",
        command="cp /bin/true c; "
        + _py(
            "import os\nos.setxattr('c','security.capability',bytes.fromhex('0100000200002000')+bytes(12))\n"
            "print('PWNED')"
        ),
        won=_pwned,
        root_only=True,
    ),
    Attack(
        name="clone into a user namespace",
        command=_py(
            "import ctypes,os\nr=ctypes.CDLL(None).syscall(56,0x10000011,0,0,0,0)\n"
            "if r==0: os._exit(0)\nprint('PWNED' if r>0 else '')"
        ),
        won=_pwned,
    ),
    Attack(name="new user namespace", command="unshare -Ur true && echo PWNED", won=_pwned),
    Attack(
        name="io_uring",
        command=_py(
            "import ctypes\nlibc=ctypes.CDLL(None,use_errno=True)\nr=libc.syscall(425,1,0)\n"
            "print('PWNED' if ctypes.get_errno()!=1 else '')"
        ),
        won=_pwned,
        wins_in=("container",),
    ),
    Attack(name="kernel log", command="dmesg > /dev/null && echo PWNED", won=_pwned, root_only=True),
    Attack(
        name="host name",
        command="was=$(hostname); hostname evil-$PORT; hostname; hostname $was",
        won=lambda s, output: f"evil-{s.port}" in output,
        root_only=True,
    ),
)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    outside, home, workspace = tmp_path / "outside", tmp_path / "home", tmp_path / "ws"
    for folder in (outside / "folder", home, workspace / ".git/hooks"):
        folder.mkdir(parents=True)
    (outside / "file").write_text("as it was")
    (outside / "secret").write_text(SECRET)
    (home / ".netrc").write_text(SECRET)
    (home / JOURNAL).parent.mkdir(parents=True)
    (home / JOURNAL).write_text("{}\n")
    (workspace / ".git/config").write_text("[core]\n")
    with (outside / "secret").open() as held:
        victim = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)", SECRET], env={"TOKEN": SECRET}, cwd=tmp_path,
            stdin=held,
        )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        port = cast("int", tcp.getsockname()[1])
        udp.bind(("127.0.0.1", port))
        sockets = Path(f"/run/tramontane-{port}") if ROOT else tmp_path
        sockets.mkdir(exist_ok=True)
        places: list[socket.socket] = [tcp]
        for name in (str(sockets / "s"), f"\0{SECRET[:6]}{port}"):
            place = socket.socket(socket.AF_UNIX)
            place.bind(name)
            place.listen()
            places.append(place)
        segment = _shared_memory(port)
        datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        datagrams.bind(str(sockets / "d"))
        datagrams.setblocking(False)
        stop, stopped = socket.socketpair()
        answering = threading.Thread(target=_answer, args=(places, udp, stopped), daemon=True)
        answering.start()
        found = Scene(
            workspace=workspace, outside=outside, home=home, victim=victim, port=port, sockets=sockets,
            datagrams=datagrams,
        )  # fmt: skip
        temporary = Path(f"/tmp/tramontane-{port}")
        temporary.write_text(SECRET)
        yield found
        temporary.unlink()
        ctypes.CDLL(None).shmctl(segment, 0, None)  # IPC_RMID
        stop.close()
        answering.join()
        for place in (*places, datagrams, stopped):
            place.close()
    victim.kill()
    victim.wait()
    Path(f"/dev/shm/{port}").unlink(missing_ok=True)
    if ROOT:
        shutil.rmtree(sockets)


def _shared_memory(key: int) -> int:
    """Create a segment that holds the secret, and return its ID."""
    libc = ctypes.CDLL(None)
    libc.shmat.restype = ctypes.c_void_p
    segment = libc.shmget(key, 4_096, 0o1600)  # IPC_CREAT
    at = libc.shmat(segment, None, 0)
    ctypes.memmove(at, SECRET.encode(), len(SECRET))
    libc.shmdt(ctypes.c_void_p(at))
    return segment


def _answer(places: Sequence[socket.socket], udp: socket.socket, stop: socket.socket) -> None:
    """Send the secret to whoever connects or sends a datagram, until `stop` can be read."""
    with selectors.DefaultSelector() as ready:
        for place in (*places, udp, stop):
            ready.register(place, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                place = cast("socket.socket", key.fileobj)
                if place is stop:
                    return
                with suppress(OSError):
                    if place is udp:
                        udp.sendto(SECRET.encode(), udp.recvfrom(99)[1])
                        continue
                    connection, _ = place.accept()
                    with connection:
                        connection.sendall(SECRET.encode())


def test_this_machine_can_sandbox_commands():
    """Otherwise, all attacks below would be skipped."""
    assert find_sandbox("auto", Rules()).isolation != "none"


@pytest.mark.parametrize(
    "attack", [attack for attack in ATTACKS if ROOT or not attack.root_only], ids=lambda attack: attack.name
)
def test_without_a_sandbox_the_attack_succeeds(scene: Scene, attack: Attack):
    assert attack.won(scene, scene.run(Sandbox(), attack.command))


@pytest.mark.parametrize("wall", WALLS)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_in_a_sandbox_the_attack_is_contained(scene: Scene, attack: Attack, wall: str, walled: Walled):
    output = scene.run(walled(wall, LIMITED), attack.command)
    won, may_win = attack.won(scene, output), attack.may_win(wall)
    assert won == may_win or (wall == "container" and may_win), output


@pytest.mark.parametrize("wall", WALLS[:2])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_in_the_sandbox_of_a_run_the_attack_is_contained(scene: Scene, attack: Attack, wall: str, walled: Walled):
    """Its commands share /tmp, home and, once a server was started, a network."""
    scene.shared = Shared()
    scene.shared.connect()
    output = scene.run(walled(wall, LIMITED), attack.command)
    assert attack.won(scene, output) == attack.may_win(wall), output
    await scene.shared.aclose()


_LAUNCHER = r"""
import subprocess, sys
from pathlib import Path
from agent import Rules, find_sandbox
sandbox = find_sandbox(sys.argv[1], Rules())
env = {"PATH": "/usr/bin:/bin"}
command = r"tr '\0' '\n' < /proc/$PPID/environ; tr '\0' '\n' < /proc/1/environ; env; true"
with sandbox.launch(["/bin/bash", "-c", command], workspace=Path.cwd(), env=env) as launch:
    subprocess.run(launch.argv, env=dict(launch.env), pass_fds=launch.pass_fds, check=True)
"""


@pytest.mark.parametrize("isolation", ["none", "bubblewrap", "landlock"])
def test_the_agents_own_environment_is_hidden(tmp_path: Path, isolation: Isolation, walled: Walled):
    walled(isolation, Rules())
    line = [sys.executable, "-c", _LAUNCHER, isolation]
    ran = subprocess.run(line, env={**os.environ, "TOKEN": SECRET}, cwd=tmp_path, capture_output=True, check=False)
    assert "PATH=" in ran.stdout.decode(), ran.stderr.decode()
    assert (SECRET in ran.stdout.decode()) == (isolation == "none")


CONTROLS: Mapping[str, str] = {
    "write and read": "echo hi > a && grep -q hi a",
    "python": "python -c 'import json, ssl, sqlite3'",
    "python of a virtual environment": "python -c 'import pytest, pydantic'",
    "subprocess and threads": _py(
        "import subprocess, threading\nsubprocess.run(['true'], check=True)\n"
        "t = threading.Thread(target=print)\nt.start()\nt.join()"
    ),
    "tests": "printf 'def test_a():\n    assert 1\n' > test_a.py && python -m pytest -q -p no:cacheprovider",
    "git": "git --version && git -c safe.directory='*' init -q sub && cd sub && echo x > a && git add a",
    "temporary files": "f=$(mktemp) && echo x > $f && python -c 'import tempfile; tempfile.TemporaryFile()'",
    "files moved between folders": _py(
        "import os\nos.makedirs('a/b')\nopen('a/x', 'w').close()\nos.rename('a/x', 'a/b/x')\nos.link('a/b/x', 'y')"
    ),
    "pipes": "find . -name '*.py' | sort | wc -l && diff <(echo a) <(echo a)",
    "devices": "echo x > /dev/null && head -c 4 /dev/urandom | wc -c",
    "asyncio subprocess": _py(
        "import asyncio\nasync def f():\n    p = await asyncio.create_subprocess_exec('true')\n    await p.wait()\n"
        "asyncio.run(f())"
    ),
    "change the mode": "echo x > a && chmod 755 a && ./a; [ -x a ]",
    "home": "cd && echo x > note && grep -q x ~/note",
    "multiprocessing": "python -c 'import multiprocessing as m; m.Lock()'",
    "loopback": _py(
        "import socket\ns = socket.create_server(('127.0.0.1', 0))\nc = socket.create_connection(s.getsockname())"
    ),
}
NOT_UNDER_LANDLOCK = {"multiprocessing", "loopback"}
"""Landlock cannot give a command its own network or shared memory, so the command has none."""
NOT_IN_THE_IMAGE = {"python of a virtual environment", "tests", "git"}


@pytest.mark.parametrize("wall", ["none", *WALLS])
@pytest.mark.parametrize("name", CONTROLS)
def test_harmless_commands_work(scene: Scene, name: str, wall: str, walled: Walled):
    output = scene.run(walled(wall, LIMITED), f"{CONTROLS[name]}\necho code $?")
    lacks = {"landlock": NOT_UNDER_LANDLOCK, "container": NOT_IN_THE_IMAGE}.get(wall.split()[0], set())
    works = name not in lacks
    assert output.endswith("code 0\n") == works, output


@pytest.mark.parametrize("wall", WALLS[:3])
def test_an_allowed_network_can_be_reached(scene: Scene, wall: str, walled: Walled):
    sandbox = walled(wall, Rules(network=True))
    assert SECRET in scene.run(sandbox, "exec 3<>/dev/tcp/127.0.0.1/$PORT && cat <&3")


@pytest.mark.parametrize("isolation", ["bubblewrap", "landlock", "container"])
def test_paths_in_the_rules_can_be_read_or_changed(scene: Scene, isolation: Isolation, walled: Walled):
    readable = walled(isolation, Rules(read=(scene.outside,)))
    assert SECRET in scene.run(readable, "cat $OUT/secret; echo x > $OUT/new")
    assert not (scene.outside / "new").exists()
    scene.run(walled(isolation, Rules(write=(scene.outside,))), "echo x > $OUT/new")
    assert (scene.outside / "new").exists()


@pytest.mark.parametrize("isolation", ["bubblewrap", "container"])
def test_a_fork_bomb_ends_with_its_command(scene: Scene, isolation: Isolation, walled: Walled):
    sandbox = walled(isolation, Rules())
    with sandbox.launch(["/bin/bash", "-c", "f() { sleep 20 & }; for i in $(seq 300); do f; done; wait"],
                        workspace=scene.workspace, env=scene.env) as launch:  # fmt: skip
        process = subprocess.Popen(
            launch.argv, env=dict(launch.env), pass_fds=launch.pass_fds, cwd=scene.workspace, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    assert _within_seconds(10.0, lambda: _processes("sleep") > 200)
    before = _processes("sleep")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert _within_seconds(10.0, lambda: _processes("sleep") < before - 200)


def _processes(name: str) -> int:
    return sum(1 for path in Path("/proc").glob("[0-9]*/comm") if _comm(path) == name)


def _comm(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _within_seconds(seconds: float, holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not holds():
        time.sleep(0.05)
    return holds()


def test_without_any_sandbox_the_error_explains_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agent.sandbox._bubblewrap_problem", lambda: "bubblewrap is not installed")
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    with pytest.raises(
        ConfigError,
        match=r"not installed.*apt-get install bubblewrap.*sandbox: none.*sandbox='none' of an Agent",
    ):
        find_sandbox("auto", Rules())
    with pytest.raises(ConfigError, match="bubblewrap is not installed"):
        find_sandbox("bubblewrap", Rules())
    with pytest.raises(ConfigError, match=r"needs Linux 6\.7"):
        find_sandbox("landlock", Rules())
    assert find_sandbox("none", Rules()).isolation == "none"


def test_without_bubblewrap_landlock_is_used_and_gives_the_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agent.sandbox._bubblewrap_problem", lambda: "bubblewrap is not installed")
    monkeypatch.setattr(landlock, "abi", lambda: 7)
    found = find_sandbox("auto", Rules())
    assert found.isolation == "landlock"
    assert str(found).endswith("(bubblewrap is not installed)")


def test_program_folders_in_a_home_are_visible_but_not_the_home(tmp_path: Path):
    for name in (".local/bin", ".local/share/keyrings", "bin"):
        (tmp_path / name).mkdir(parents=True)
    visible = set(bubblewrap.program_folders({"PATH": f"{tmp_path}/.local/bin:{tmp_path}/bin:relative:"}))
    assert tmp_path / ".local/bin" in visible
    assert tmp_path not in visible
    assert tmp_path / ".local" not in visible


@pytest.mark.parametrize("sockets", [True, False])
@pytest.mark.parametrize("machine", list(seccomp.MACHINES))
def test_the_filter_is_complete_and_its_jumps_stay_inside(machine: str, sockets: bool):
    program = seccomp.program(machine, sockets=sockets)
    steps = [program[at : at + 8] for at in range(0, len(program), 8)]
    assert len(program) % 8 == 0
    for at, step in enumerate(steps):
        if step[0] & 7 == 5:  # a jump
            assert at + 1 + max(step[2], step[3]) < len(steps)
    assert steps[-1][0] == 6


FORKS = _py(
    "import errno,os,time\nstarted=0\ntry:\n"
    "    while started<200:\n        if not os.fork():\n            time.sleep(3)\n            os._exit(0)\n"
    "        started+=1\n"
    "except OSError as error:\n    print(errno.errorcode[error.errno],started)"
)


@pytest.mark.parametrize("wall", ["bubblewrap", "landlock", "container"])
def test_a_user_can_start_no_more_processes_than_the_limit(wall: str, walled: Walled):
    """Runs as `nobody` if root runs it, since the limit has no effect for root."""
    if ROOT and wall == "landlock":
        pytest.skip("root has no limit; an ordinary user runs this too")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        user: dict[str, Any] = {}
        if ROOT and wall == "bubblewrap":
            os.chown(name, 65534, 65534)
            user = {"user": 65534, "group": 65534, "extra_groups": []}
        command = FORKS.replace("python", "python3", 1)
        with walled(wall, LIMITED).launch(
            ["bash", "-c", command], workspace=Path(name), env={"PATH": os.defpath}
        ) as launch:
            ran = subprocess.run(
                launch.argv, env=dict(launch.env), pass_fds=launch.pass_fds, cwd=name, **user,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False,
            )  # fmt: skip
    reason, started = ran.stdout.decode().split()
    assert reason == "EAGAIN"
    assert int(started) < SMALL.processes


@pytest.mark.parametrize("isolation", ["bubblewrap", "landlock"])
def test_a_lower_limit_of_the_caller_is_kept(scene: Scene, isolation: Isolation, walled: Walled):
    walled(isolation, Rules())
    program = (
        "import resource, subprocess, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))\n"
        "from pathlib import Path\nfrom agent import Rules, find_sandbox\n"
        "sandbox = find_sandbox(sys.argv[1], Rules())\nenv = {'PATH': '/usr/bin:/bin'}\n"
        "with sandbox.launch(['bash', '-c', 'ulimit -f'], workspace=Path.cwd(), env=env) as launch:\n"
        "    subprocess.run(launch.argv, env=dict(launch.env), pass_fds=launch.pass_fds, check=True)\n"
    )
    line = [sys.executable, "-c", program, isolation]
    ran = subprocess.run(line, cwd=scene.workspace, capture_output=True, check=False)
    assert ran.stdout.decode().strip() == str(5_000_000 // 1024), ran.stderr.decode()


@pytest.mark.parametrize("wall", WALLS[1:3])
def test_a_missing_program_is_reported_in_one_line(scene: Scene, wall: str, walled: Walled):
    sandbox = walled(wall, LIMITED)
    with sandbox.launch(["no-such-program"], workspace=scene.workspace, env=scene.env) as launch:
        ran = subprocess.run(launch.argv, env=dict(launch.env), capture_output=True, check=False)
    assert ran.stderr == b"no-such-program: No such file or directory\n"


RAW_OPEN = _py(
    "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    "print('opened' if libc.syscall(257, -100, b'/etc/passwd', 0, 0o7777) >= 0 else ctypes.get_errno())"
)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="257 is openat on x86-64 only")
@pytest.mark.parametrize("isolation", ["bubblewrap", "landlock"])
def test_opening_a_file_only_to_read_it_works_with_any_mode_argument(
    scene: Scene, isolation: Isolation, walled: Walled
):
    assert "opened" in scene.run(walled(isolation, LIMITED), RAW_OPEN)
