"""A command in the background swaps folders for symlinks while bubblewrap mounts for the next command of the run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent import ConfigError, Rules, Sandbox, find_sandbox
from agent.sandbox import Shared, namespaces

ENV = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}"}
STARTS = 60
# Exchanges two names in one step, as fast as it can but for a pause in which a mount can happen.
SWAP = """
import ctypes, os, random, sys, time
libc = ctypes.CDLL(None)
print("swapping", flush=True)
while True:
    libc.syscall({number}, -100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2)
    time.sleep(random.uniform(.0005, .003))
"""
RENAMEAT2 = {"x86_64": 316, "aarch64": 276}


def sandbox_of(rules: Rules) -> Sandbox:
    try:
        return find_sandbox("bubblewrap", rules)
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (outside := tmp_path / "outside").mkdir()
    (outside / "secret").write_text("canary-77e1")
    return outside


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (work := tmp_path / "work").mkdir()
    return work


@pytest.fixture
def shared() -> Shared:
    return Shared()


def run(sandbox: Sandbox, work: Path, shared: Shared, command: str) -> str:
    with sandbox.launch(["sh", "-c", command], workspace=work, env=ENV, shared=shared) as launch:
        ran = subprocess.run(
            launch.argv, env=launch.env, pass_fds=launch.pass_fds, cwd=work, stdin=subprocess.DEVNULL, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30,
        )  # fmt: skip
    return ran.stdout.decode(errors="replace")


@contextmanager
def swapping(work: Path, shared: Shared, make: str, folder: str, link: str) -> Generator[None]:
    """Run a command that makes two names in the workspace and swaps them until the block ends."""
    script = SWAP.format(number=RENAMEAT2[os.uname().machine])
    argv = ["sh", "-c", f'{make} && exec python3 -c "$0" {folder} {link}', script]
    with sandbox_of(Rules()).launch(argv, workspace=work, env=ENV, shared=shared) as launch:
        started = subprocess.Popen(
            launch.argv, env=launch.env, pass_fds=launch.pass_fds, cwd=work, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
    with started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == b"swapping\n"
            yield
        finally:
            started.kill()


def needs_namespaces() -> None:
    if not namespaces.can_enter():
        pytest.skip("this machine allows no namespaces in namespaces")


@pytest.mark.parametrize("above", ["", "/oldroot"], ids=["outside", "by the root that bubblewrap leaves"])
def test_a_folder_of_a_hidden_file_that_is_swapped_while_bubblewrap_mounts_leads_nowhere(
    work: Path, outside: Path, shared: Shared, above: str
):
    """It was mounted onto itself by its name, which meanwhile led to a folder outside: that became writable."""
    needs_namespaces()
    before = sorted(outside.iterdir())
    hiding = sandbox_of(Rules(hidden=(work / "a/b.pem",)))
    look = "for name in a l; do cat $name/secret; echo pwned > $name/pwned; done; true"
    with swapping(work, shared, f"mkdir a && echo x > a/b.pem && ln -s {above}{outside} l", "a", "l"):
        seen = [run(hiding, work, shared, look) for _ in range(STARTS)]
    assert [text for text in seen if "canary" in text] == []
    assert sorted(outside.iterdir()) == before
    assert [text for text in seen if "bwrap:" in text] == [], "each command starts"


def test_a_swapped_dot_git_of_a_nested_repository_opens_no_folder_outside(work: Path, outside: Path, shared: Shared):
    """`.git` was made read-only by its name, which meanwhile led to a folder outside: that became readable."""
    needs_namespaces()
    subprocess.run(["git", "init", "-q", work / "sub"], check=True)
    sandbox = sandbox_of(Rules())
    make = f"mv sub old && mkdir -p sub/.git && ln -s {outside} sub/l"
    with swapping(work, shared, make, "sub/.git", "sub/l"):
        seen = [run(sandbox, work, shared, "cat sub/.git/secret sub/l/secret; true") for _ in range(STARTS)]
    assert [text for text in seen if "canary" in text or "bwrap:" in text] == []


@pytest.mark.parametrize("can_enter", [True, False], ids=["by the helper", "by bubblewrap"])
def test_what_a_rule_hides_and_git_stay_as_they_are(
    work: Path, shared: Shared, monkeypatch: pytest.MonkeyPatch, can_enter: bool
):
    if can_enter:
        needs_namespaces()
    else:
        monkeypatch.setattr("agent.sandbox.namespaces.can_enter", lambda: False)
    subprocess.run(["git", "init", "-q", work], check=True)
    for name in ("a/b/key", "closed/key", "free"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text("as it was")
    sandbox = sandbox_of(Rules(hidden=(work / "a/b/key", work / "closed", work / "gone")))
    tries: Sequence[str] = (
        "cat a/b/key closed/key", "echo x > a/b/key", "chmod 777 a/b/key", "mv a c", "mv a/b c", "rm -rf closed",
        "touch closed/new .git/new", "echo x >> .git/config", "mv .git c && [ ! -e .git ]",
    )  # fmt: skip
    command = "; ".join(f"({one}) 2>/dev/null && echo PWNED" for one in tries)
    assert run(sandbox, work, shared, f"{command}; echo y > free") == ""
    assert (work / "free").read_text() == "y\n"
    assert (work / "a/b/key").read_text() == (work / "closed/key").read_text() == "as it was"
    assert not (work / ".git/new").exists()
    assert not (work / "closed/new").exists()


def test_a_helper_that_was_killed_is_started_again(work: Path, shared: Shared):
    """All later commands of the process would fail; the network of the run is made again too."""
    needs_namespaces()
    sandbox = sandbox_of(Rules())
    (work / "sub/.git").mkdir(parents=True)
    shared.connect()
    look = "touch sub/.git/x 2>&1; ls /sys/class/net 2>/dev/null; echo up"
    first = run(sandbox, work, shared, look)
    # A folder is told from another one that is mounted over it: then the helper sees the old mounts, and ends.
    with pytest.raises(OSError, match="ended"):
        namespaces._ask({"roots": [[str(work), 0, 0]], "mounts": []}, ())  # pyright: ignore[reportPrivateUsage]
    assert run(sandbox, work, shared, look) == first
    assert "Read-only" in first


def test_a_copy_of_its_channel_in_a_fork_of_this_process_does_not_keep_the_helper_alive():
    """The end of the process waited for it for 10 s."""
    needs_namespaces()
    namespaces.Network().close()
    helper = namespaces._running  # pyright: ignore[reportPrivateUsage]
    assert helper is not None
    copy = helper._channel.dup()  # pyright: ignore[reportPrivateUsage]
    namespaces._close()  # pyright: ignore[reportPrivateUsage]
    copy.close()
    assert helper._process.returncode is not None  # pyright: ignore[reportPrivateUsage]
