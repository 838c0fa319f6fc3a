"""Tool references: which tools they load, and which errors they raise."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import agent.task.tool_loading
from agent.errors import ConfigError
from agent.task.parts import ToolUse
from agent.task.tool_loading import load_tools
from agent.tooling.context import ToolContext
from agent.tooling.tool import Tool

HOUSE = Path(agent.task.tool_loading.__file__).resolve().parents[2]

MY_TOOLS = '''\
"""Mine."""
from __future__ import annotations

from dataclasses import dataclass

from agent import tool

calls = []


@dataclass
class Page:
    text: str


@tool
def fetch(url: str) -> str:
    """Fetch a page."""
    calls.append(url)
    return url


@tool(timeout_s=5)
def seen() -> str:
    """Say what was fetched."""
    return repr(calls)


def plain() -> None: ...


number = 3
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_tools.py").write_text(MY_TOOLS)
    return tmp_path


@pytest.fixture
def foreign_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Put a `tools.py` that must never run before the shipped package on sys.path."""
    shipped = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "tools"}
    for name in shipped:
        del sys.modules[name]
    (tmp_path / "tools.py").write_text("raise SystemExit('a foreign tools.py was imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "tools.py"
    for name in [name for name in sys.modules if name.partition(".")[0] == "tools"]:
        del sys.modules[name]  # a second copy of the package, whose modules the first does not know
    sys.modules.update(shipped)


def names(*references: str | ToolUse, directory: Path) -> list[str]:
    return [tool.name for tool in load_tools(references, directory=directory)]


def refusal(reference: str, directory: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_tools([reference], directory=directory)
    return str(caught.value).replace(str(directory), "DIR").replace(str(HOUSE), "HOUSE")


def test_a_ready_tool_loads_by_its_name_and_by_its_reference(folder: Path):
    assert names("read_file", "tools.files:edit_file", directory=folder) == ["read_file", "edit_file"]


def test_one_tool_of_a_file_is_loaded_or_all_of_them_in_order(folder: Path):
    assert names("./my_tools.py:seen", directory=folder) == ["seen"]
    assert names("my_tools.py", directory=folder) == ["fetch", "seen"]
    assert names(str(folder / "my_tools.py"), directory=Path("/")) == ["fetch", "seen"]


async def test_two_references_to_a_file_share_its_state_and_two_loads_do_not(folder: Path):
    fetch, seen = load_tools(["./my_tools.py:fetch", "my_tools.py:seen"], directory=folder)
    (seen_later,) = load_tools(["./my_tools.py:seen"], directory=folder)

    await called(fetch, '{"url": "u"}')

    assert (await called(seen, "{}"), await called(seen_later, "{}")) == ("['u']", "[]")


async def called(tool: Tool, arguments: str) -> object:
    return await tool.body(tool.arguments.check(arguments), ToolContext(workspace=Path()))


def test_an_edited_file_is_read_again_and_leaves_no_cache_behind(folder: Path):
    names("./my_tools.py", directory=folder)
    (folder / "my_tools.py").write_text(MY_TOOLS.replace("def seen", "def been"))

    assert names("./my_tools.py", directory=folder) == ["fetch", "been"]
    assert [path.name for path in folder.iterdir()] == ["my_tools.py"]


def test_loading_leaves_sys_path_alone(folder: Path):
    before = list(sys.path)

    names("./my_tools.py", "read_file", directory=folder)

    assert sys.path == before
    assert "my_tools" not in sys.modules


def test_options_of_a_task_replace_the_tools_own(folder: Path):
    uses = [
        ToolUse(use="my_tools.py:seen"),
        ToolUse(use="my_tools.py:seen", timeout_s=60),
        ToolUse(use="my_tools.py:seen", output_limit_chars=80),
    ]

    tools = load_tools(uses, directory=folder)

    assert [(tool.timeout_s, tool.output_limit_chars) for tool in tools] == [(5, 16_000), (60, 16_000), (5, 80)]


def test_an_installed_module_loads_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "their_package").mkdir()
    (folder / "their_package" / "web.py").write_text(MY_TOOLS)
    monkeypatch.syspath_prepend(str(folder))

    assert names("their_package.web:fetch", directory=Path("/")) == ["fetch"]


def test_ready_tools_load_by_name_despite_a_foreign_tools_module(foreign_tools: Path, folder: Path):
    assert names("read_file", "run_shell", directory=folder) == ["read_file", "run_shell"]
    assert "tools" not in sys.modules


def test_a_reference_to_tools_means_the_projects_own_where_there_are_some(foreign_tools: Path, folder: Path):
    foreign_tools.write_text(MY_TOOLS)

    assert names("tools:fetch", "read_file", directory=folder) == ["fetch", "read_file"]
    assert refusal("tools.files:read_file", folder) == (
        "Cannot load 'tools.files': ModuleNotFoundError: No module named 'tools.files'; 'tools' is not a package"
    )


def test_ready_tools_load_by_name_though_a_foreign_tools_module_is_imported(foreign_tools: Path, folder: Path):
    sys.modules["tools"] = ModuleType("tools")  # without a spec; the fixture removes it

    assert names("read_file", directory=folder) == ["read_file"]


REFUSALS = {
    "raed_file": (
        "No ready tool is named 'raed_file'. Did you mean `read_file`? Pass your own tool as a function; in a task "
        "file, write ./file.py:name."
    ),
    "tools.files:raed_file": (
        "Cannot load 'tools.files:raed_file': HOUSE/tools/files.py has no tool 'raed_file'. Did you mean `read_file`?"
    ),
    "./my_tools.py:fetsch": (
        "Cannot load './my_tools.py:fetsch': DIR/my_tools.py has no tool 'fetsch'. Did you mean `fetch`?"
    ),
    "./my_tools.py:x": "Cannot load './my_tools.py:x': DIR/my_tools.py has no tool 'x'. Known: fetch, seen.",
    "./my_tools.py:plain": (
        "Cannot load './my_tools.py:plain': 'plain' in DIR/my_tools.py is not a tool. Put @tool above it: from agent "
        "import tool."
    ),
    "./my_tools.py:number": (
        "Cannot load './my_tools.py:number': 'number' in DIR/my_tools.py is of type int, not a tool."
    ),
    "./no.py:x": "Cannot load tools from './no.py': 'DIR/no.py' is not a file. Check the path.",
    "my_tools:fetch": (
        "Cannot load 'my_tools:fetch': no module 'my_tools' is installed, and the current folder is not searched. "
        'Refer to a file by its path: tools: ["./my_tools.py:fetch"].'
    ),
    "json.no:x": "Cannot load 'json.no': ModuleNotFoundError: No module named 'json.no'",
    "tools.no:x": "Cannot load 'tools.no': ModuleNotFoundError: No module named 'tools.no'",
    "rm -rf:x": (
        "Cannot parse the tool reference 'rm -rf:x'. Write the name of a ready tool, package.module:name, or "
        "./file.py:name."
    ),
}


@pytest.mark.parametrize(("reference", "message"), REFUSALS.items())
def test_the_whole_message_of_a_refusal(reference: str, message: str, folder: Path):
    assert refusal(reference, folder) == message


BROKEN = {
    "x = 1\ndef f():\n    raise ValueError('boom')\nf()\n": "DIR/bad.py:3: Cannot load 'bad.py': ValueError: boom",
    "import json\njson.loads('{')\n": (
        "DIR/bad.py:2: Cannot load 'bad.py': JSONDecodeError: Expecting property name enclosed in double quotes: line "
        "1 column 2 (char 1)"
    ),
    "\ndef f(:\n": "DIR/bad.py:2: Cannot load 'bad.py': SyntaxError: invalid syntax (bad.py, line 2)",
    "import sys\nsys.exit(3)\n": "DIR/bad.py:2: Cannot load 'bad.py': SystemExit: 3",
    "from agent import tool\n\n@tool\ndef f(x):\n    'Do.'\n": (
        "DIR/bad.py:3: Cannot load 'bad.py': Tool 'f': parameter 'x' has no type annotation. Add one."
    ),
    "x = 1\n": "Cannot load 'bad.py': DIR/bad.py has no tools. Put @tool above a function: from agent import tool.",
}


@pytest.mark.parametrize(("source", "message"), BROKEN.items())
def test_a_broken_file_is_refused_with_its_line_and_leaves_nothing_behind(source: str, message: str, folder: Path):
    (folder / "bad.py").write_text(source)

    assert refusal("bad.py", folder) == message
    if "tools" not in message:
        assert [name for name in sys.modules if name.startswith("_agent_tools_bad")] == []


def test_an_installed_module_that_fails_is_refused_with_its_line(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "failing_module.py").write_text("\n1 / 0\n")
    monkeypatch.syspath_prepend(str(folder))

    assert refusal("failing_module:x", folder) == (
        "DIR/failing_module.py:2: Cannot load 'failing_module': ZeroDivisionError: division by zero"
    )


def test_missing_ready_tools_are_reported(folder: Path):
    shutil.copytree(HOUSE / "agent", folder / "agent")
    program = "from agent import ready_tools; ready_tools.search"

    ran = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)

    assert ran.stderr.splitlines()[-1] == (
        f"agent.errors.ConfigError: The ready tools are not at '{folder}/tools'. Reinstall tramontane."
    )
