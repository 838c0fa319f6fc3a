"""Files that Python runs without being told to, beside the pinned ones."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from agent.sandbox.command_sources import command_sources
from agent.sandbox.file_facts import facts_below
from agent.sandbox.pinned import Pinned, imported_names

_SITE = ".venv/lib/python3.11/site-packages"


def pinned_by(command: tuple[str, ...], folder: Path, env: Mapping[str, str] | None = None) -> Pinned:
    return Pinned(command_sources(command, folder, [folder], env), folder, [folder])


def _add(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_text("import os")
        return path

    return write


def _replace_configuration(folder: Path) -> Path:
    path = folder / ".venv/pyvenv.cfg"
    path.write_text("home = /tmp")
    return path


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A folder with a server and its virtual environment."""
    (tmp_path / _SITE).mkdir(parents=True)
    (tmp_path / ".venv/bin").mkdir()
    (tmp_path / ".venv/bin/python").write_text("#!/bin/sh\n")
    (tmp_path / ".venv/pyvenv.cfg").write_text("home = /usr/bin")
    (tmp_path / "server.py").write_text("import json\n")
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        _add(f"{_SITE}/new.pth"), _add(f"{_SITE}/sitecustomize.py"), _add(f"{_SITE}/usercustomize.py"),
        _replace_configuration, _add("json.py"),
    ],
)  # fmt: skip
def test_what_an_interpreter_runs_at_its_start_is_pinned_with_a_server(
    environment: Path, change: Callable[[Path], Path]
):
    pinned = pinned_by((".venv/bin/python", "server.py"), environment)
    assert pinned.changed() == []

    added = change(environment)

    assert pinned.changed() == [added]


def test_what_was_there_before_and_other_files_are_no_change(environment: Path):
    (environment / _SITE / "old.pth").write_text("import os")
    pinned = pinned_by((".venv/bin/python", "server.py"), environment)

    (environment / _SITE / "__pycache__").mkdir()
    (environment / _SITE / "__pycache__/package.cpython-311.pyc").write_text("")  # servers read no bytecode
    (environment / "notes.txt").write_text("")
    (environment / "solution.py").write_text("")

    assert pinned.changed() == []


@pytest.mark.parametrize("how", ["edited", "edited, with its old time", "replaced", "new", "removed"])
def test_all_packages_of_an_environment_in_the_workspace_are_pinned(how: str, environment: Path):
    """A server imported what a command had put into a package of the project's active .venv."""
    package = environment / _SITE / "acme/__init__.py"
    package.parent.mkdir()
    package.write_text("x = 1\n")
    facts = package.stat()
    pinned = pinned_by((".venv/bin/python", "server.py"), environment)
    if how == "new":
        package = package.with_name("fast.so")
    if how in {"replaced", "removed"}:
        package.unlink()
    if how != "removed":
        package.write_text("x = 2\n")
    if how == "edited, with its old time":
        os.utime(package, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert pinned.changed() == [package]


def test_a_package_that_a_link_puts_into_an_environment_is_pinned(environment: Path):
    (environment / "vendor/acme").mkdir(parents=True)
    (environment / "vendor/acme/__init__.py").write_text("")
    (environment / _SITE / "acme").symlink_to("../../../../vendor/acme")
    pinned = pinned_by((".venv/bin/python", "server.py"), environment)
    (environment / "vendor/acme/__init__.py").write_text("import os")
    assert pinned.changed() == [environment / _SITE / "acme/__init__.py"]


@pytest.mark.parametrize("link", [".venv/z", ".venv"])
def test_a_link_that_leads_out_of_what_runs_can_change_is_named_alone(
    link: str, environment: Path, tmp_path_factory: pytest.TempPathFactory
):
    """`.venv/z -> a hidden folder` made the names of the files there reach the model; `-> /` took half a minute."""
    hidden = tmp_path_factory.mktemp("hidden")
    (hidden / "pyvenv.cfg").touch()
    (hidden / "names-of-customers").touch()
    pinned = pinned_by((".venv/bin/python", "server.py"), environment)
    path = environment / link
    if path.exists():
        path.rename(environment / "old")
    path.symlink_to(hidden)
    assert str(hidden) not in str(pinned.changed())
    assert path in pinned.changed()
    assert not any("customers" in str(changed) for changed in pinned.changed())
    assert [name for name in facts_below(environment / ".venv") if "customers" in name] == []


HIDING = {
    "an installed package": ("import acme", "acme.py"),
    "a file of its own": ("import helper", "helper/__init__.py"),
    "a file of its own by an extension": ("import helper", "helper.abi3.so"),
    "a module of its own package": ("from pack import part", "pack/part/__init__.py"),
    "nothing, in a package": ("try:\n    from pack import speedups\nexcept ImportError: pass", "pack/speedups.py"),
    "nothing, with a fallback": ("try:\n    import orjson\nexcept ImportError: pass", "orjson.py"),
    "nothing, for an installed package": ("import acme", "brotli.py"),
    "nothing, by a computed import": ("import importlib\nimportlib.import_module('plug.inner')", "plug/inner.py"),
}


@pytest.mark.parametrize(("imports", "new"), HIDING.values(), ids=HIDING)
def test_a_module_where_a_server_would_look_for_it_first_is_a_change(imports: str, new: str, environment: Path):
    acme = environment / _SITE / "acme.py"
    acme.write_text("try:\n    import zlib, brotli as fast\nexcept ImportError:\n    fast = None\n")
    (environment / "server.py").write_text(imports)
    for name in ("helper.py", "pack/__init__.py", "pack/part.py", "plug/__init__.py"):
        (environment / name).parent.mkdir(exist_ok=True)
        (environment / name).touch()
    pinned = pinned_by((".venv/bin/python", "server.py"), environment)
    path = environment / new
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    assert pinned.changed() == [path]


def test_a_module_that_is_imported_by_a_computed_name_is_pinned(environment: Path):
    (environment / "server.py").write_text("import importlib\nhelper = importlib.import_module('pack.helper')\n")
    helper = environment / "pack/helper.py"
    helper.parent.mkdir()
    helper.write_text("")
    pinned = pinned_by((".venv/bin/python", "server.py"), environment)
    helper.write_text("import os")
    assert pinned.changed() == [helper]


def test_what_is_installed_as_editable_is_pinned(environment: Path):
    (environment / "src/acme").mkdir(parents=True)
    (environment / "src/acme/cli.py").write_text("from . import deep")
    (environment / "src/acme/deep.py").write_text("")
    (environment / _SITE / "acme.pth").write_text(f"{environment}/src\n")
    (environment / ".venv/bin/acme").write_text("#!python\nfrom acme.cli import main\n")
    pinned = pinned_by((".venv/bin/acme",), environment)
    (environment / "src/acme/deep.py").write_text("import os")
    assert pinned.changed() == [environment / "src/acme/deep.py"]


@pytest.mark.parametrize("command", ["uv run server.py", "poetry run server", "pdm run python -m server"])
@pytest.mark.parametrize("new", [f"{_SITE}/new.py", "pyproject.toml", ".venv/bin/server", "uv.lock"])
def test_the_environment_that_a_runner_of_projects_implies_is_pinned(command: str, new: str, environment: Path):
    pinned = pinned_by(tuple(command.split()), environment)
    (environment / new).write_text("x")
    assert pinned.changed() == [environment / new]


@pytest.mark.parametrize(
    ("command", "env", "name", "is_looked_at"),
    [
        (("server.py", "--db", "data.sqlite"), {}, "data.sqlite", ()),
        (("server.py",), {"MEMORY_FILE_PATH": "memory.json"}, "memory.json", ()),
        (("server.py", "--memory=memory.json"), {}, "memory.json", ("start",)),
        (("mcp-proxy", "--config", "servers.yaml"), {}, "servers.yaml", ("start",)),
        (("server.py", "plugin.py"), {}, "plugin.py", ("start", "call")),
        (("server.py",), {"PRELOAD": "hook.so"}, "hook.so", ("start", "call")),
        (("sh", "-c", "x", "tool"), {}, "tool", ("start", "call")),
    ],
)
def test_a_server_that_writes_the_data_it_is_given_runs_on(
    command: tuple[str, ...], env: Mapping[str, str], name: str, is_looked_at: tuple[str, ...], tmp_path: Path
):
    """What it wrote to a file that is a word of its command counted as a change of what it loads."""
    (tmp_path / name).write_text("#!/bin/sh\n")
    if name == "tool":
        (tmp_path / name).chmod(0o755)
    pinned = pinned_by(command, tmp_path, env)
    (tmp_path / name).write_text("more")
    assert bool(pinned.changed()) == ("start" in is_looked_at)
    assert bool(pinned.changed(runs=True)) == ("call" in is_looked_at)


def test_a_link_that_leads_to_another_file_with_the_same_content_is_a_change(tmp_path: Path):
    for name in ("a.py", "b.py"):
        (tmp_path / name).touch()
    (tmp_path / "server.py").symlink_to("a.py")
    pinned = pinned_by(("python3", "server.py"), tmp_path)
    (tmp_path / "server.py").unlink()
    (tmp_path / "server.py").symlink_to("b.py")
    assert pinned.changed() == [tmp_path / "server.py"]


def test_a_program_that_appears_earlier_on_the_path_is_a_change(tmp_path: Path):
    (tmp_path / "bin").mkdir()
    pinned = pinned_by(("sh", "start.sh"), tmp_path, {"PATH": f"bin:{os.defpath}"})
    (tmp_path / "bin/sh").write_text("#!/bin/sh\n")
    (tmp_path / "bin/sh").chmod(0o755)
    assert pinned.changed() == [tmp_path / "bin/sh"]


def test_names_that_prose_or_other_modules_have_are_not_imported(tmp_path: Path):
    (tmp_path / "a.py").write_text(
        '"""import the solution, and\nfrom solution to problem."""\nimport app.solution, solutions\nx = "solution"\n'
        '"""\n>>> import solution\n"""  # see `import solution`, or else import solution\n'
    )
    assert imported_names([tmp_path], {"solution", "app", "problem"}) == {"app"}


@pytest.mark.parametrize(
    ("command", "known"),
    [
        ("node server.js", ["server.js"]),
        ("env node --import ./lib.js server.js", ["lib.js", "server.js"]),
        ("sh start.sh", ["start.sh"]),
        ("uv run server.py", ["library.py", "server.py"]),
        ("node .", []),
        ("npx -y server", []),
        ("sh -c 'node server.js'", []),
    ],
)
def test_of_other_starters_than_python_the_files_that_are_words_are_pinned_as_the_readme_says(
    command: str, known: list[str], tmp_path: Path
):
    for name in ("server.js", "lib.js", "start.sh", "library.py", "package.json", "node_modules/server/package.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "server.py").write_text("import library")
    found = command_sources(shlex.split(command), tmp_path, [tmp_path])
    assert sorted(path.name for path in found.existing()) == known


@pytest.mark.parametrize(
    "command",
    [
        "python -um server", "python -mserver", "python -Im server", "python -X dev -W error -um server",
        "python -Xdev -Wignore -- server.py", "python --check-hash-based-pycs always -m server", "env python -Bmserver",
        "python -c 'import server'", "python -uc 'import os, server; server.main()'", "python '-cimport server'",
        "python -c \"__import__('ser' + 'ver')\"", "python -c \"exec(open('server.py').read())\"",
        "python -Z server", "python --new server", "python -c 'match = ('", "uv run --module server",
        "python start", "python folder", "frun server.py:mcp", "uvicorn server:app", "frun --app=server:make()",
        "frun ./server.py:mcp", "uvicorn --app-dir src library:app",
        "python -m my-server", "python -c \"import sys; sys.path.append('src'); import library\"",
    ],
)  # fmt: skip
def test_however_python_is_told_what_to_start_its_imports_are_pinned(command: str, tmp_path: Path):
    """Of `python -um server`, and of `frun server.py:mcp`, nothing was pinned."""
    for name in ("server.py", "my-server.py", "start", "folder/__main__.py", "src/library.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("import helper")
    folder = "folder" if "folder" in command else "src" if "library" in command else ""
    helper = tmp_path / folder / "helper.py"
    helper.touch()
    found = command_sources(shlex.split(command), tmp_path, [tmp_path])
    assert helper in found.existing()


@pytest.mark.parametrize(
    "command",
    [
        "python -c 'import json'", "node http://localhost:80 -c 'import server'", "ls -m",
        "uv run --python python3 --with x tool",
    ],
)  # fmt: skip
def test_a_command_that_does_not_import_a_file_of_the_folder_has_none_of_them_pinned(command: str, tmp_path: Path):
    (tmp_path / "server.py").touch()
    assert not command_sources(shlex.split(command), tmp_path, [tmp_path]).existing()


@pytest.mark.parametrize(
    "text",
    [
        "try: import fast", "if x: import fast", "a = 1; import fast", "import a, \\\n  fast", "import a as b , fast",
        "import \\\n fast", "try: from fast import x", "import_module(name='fast')", 'x = __import__("fast.part")',
        "import_module(\n    r'fast')", "importlib.util.find_spec('fast')", "pytest.importorskip('fast')",
    ],
)  # fmt: skip
def test_an_import_anywhere_in_a_line_of_a_package_is_found(text: str, tmp_path: Path):
    """`try: import fast` in an installed package let a run put its own fast.py beside the server."""
    (tmp_path / "a.py").write_text(text)
    assert imported_names([tmp_path], {"fast"}) == {"fast"}


def test_a_server_at_a_url_has_nothing_to_pin(tmp_path: Path):
    """Its command is empty, and the run ended with a ValueError."""
    assert not command_sources((), tmp_path, [tmp_path]).existing()


@pytest.mark.parametrize("command", ["./serve", "./serve x"])
@pytest.mark.parametrize("line", ["{}/.venv/bin/python", "/usr/bin/env -S {}/.venv/bin/python -u"])
def test_the_environment_in_the_first_line_of_a_script_is_pinned(command: str, line: str, environment: Path):
    """Of `./server.py` with `#!/project/.venv/bin/python`, only its own files were looked at."""
    script = environment / command.split()[0]
    script.write_text(f"#!{line.format(environment)}\n")
    script.chmod(0o755)
    pinned = pinned_by(tuple(command.split()), environment)
    (environment / _SITE / "acme.py").touch()
    assert pinned.changed() == [environment / _SITE / "acme.py"]
