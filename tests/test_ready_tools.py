"""The ready tools by name: the list, what is imported when, and what a wrong name is answered with."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from agent import Agent, ConfigError, Tool, ready_tools
from agent.testing import ScriptedModel, calls, says

TOOLS = Path(__file__).parent.parent / "tools"


def test_every_tool_of_the_package_is_listed_under_its_name():
    modules = [import_module(f"tools.{path.stem}") for path in TOOLS.glob("[!_]*.py")]
    tools = {value.name: value for module in modules for value in vars(module).values() if isinstance(value, Tool)}

    assert sorted(tools) == list(ready_tools.NAMES)
    assert {name: ready_tools.find(name) for name in ready_tools.NAMES} == tools
    assert {name: getattr(ready_tools, name) for name in ready_tools.NAMES} == tools


def test_the_three_lists_of_the_module_agree():
    """A type checker reads the imports and `__all__`; a program uses the names."""
    source = Path(ready_tools.__file__).read_text()
    imported = re.findall(r"^    from tools\.\w+ import (.*)$", source, re.MULTILINE)

    assert sorted(["NAMES", "find", *ready_tools.NAMES]) == ready_tools.__all__ == dir(ready_tools)
    assert sorted(name for line in imported for name in line.split(", ")) == sorted(
        [*ready_tools.NAMES, "mcp_tools as mcp_tools"]
    )


def test_only_the_module_of_a_tool_that_is_used_is_imported(tmp_path: Path):
    program = (
        "import sys\nfrom agent import ready_tools\nassert not [name for name in sys.modules if 'tools.' in name]\n"
        "ready_tools.read_file\nassert 'tools.files' in sys.modules and 'tools.debugger' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_ready_tool_can_be_listed_where_pytest_is_not_installed(tmp_path: Path):
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from agent import ready_tools\n"
        "print(len([ready_tools.find(name) for name in ready_tools.NAMES]))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.stdout.strip() == str(len(ready_tools.NAMES)), found.stderr


def test_a_misspelt_ready_tool_is_answered_with_the_nearest_name():
    with pytest.raises(ConfigError) as caught:
        ready_tools.find("raed_file")
    assert str(caught.value) == (
        "No ready tool is named 'raed_file'. Did you mean `read_file`? Pass your own tool as a function; in a task "
        "file, write ./file.py:name."
    )
    with pytest.raises(AttributeError) as missing:
        getattr(ready_tools, "raed" + "_file")
    assert str(missing.value) == "module 'agent.ready_tools' has no attribute 'raed_file'. Did you mean `read_file`?"


def test_a_module_of_the_package_is_not_a_tool():
    with pytest.raises(ConfigError, match=r"^No ready tool is named 'files'\."):
        ready_tools.find("files")
    with pytest.raises(ConfigError, match=r"^No ready tool is named 'mcp_tools'\."):
        ready_tools.find("mcp_tools")


async def test_a_tool_whose_extra_is_missing_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    model = ScriptedModel([calls(("find_definition", {"name": "x"})), says("done")])
    tools = [ready_tools.find_definition, ready_tools.read_file]
    monkeypatch.setitem(sys.modules, "jedi", None)

    with pytest.raises(ConfigError) as caught:
        await Agent(model, tools=tools, workspace=tmp_path).run("Find x.")

    assert str(caught.value) == (
        "A package that tools need is not installed: find_definition needs jedi. "
        'Run pip install "tramontane[coding]", or leave these tools out of `tools`.'
    )
