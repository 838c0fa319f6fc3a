"""The ready tools: `Agent(tools=[ready_tools.read_file, "search"])`. Each is imported when it is first used.

They are the tools that `agent tools` lists. A project's own `tools` never shadows them. A run with a tool that needs an
extra, such as `tramontane[coding]`, is refused where that is not installed, with the command that installs it.
"""

from __future__ import annotations

import sys
from importlib import import_module, util
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING

from .errors import ConfigError
from .nearest import did_you_mean

if TYPE_CHECKING:
    from tools.changes import apply_diff, edit_files, undo_change
    from tools.code import find_definition, find_references, outline
    from tools.debugger import debug_evaluate, debug_look, debug_resume, debug_start, debug_stop
    from tools.files import edit_file, list_files, read_file, write_file
    from tools.mcp import mcp_tools as mcp_tools
    from tools.notes import write_notes
    from tools.processes import read_process, start_process, stop_process
    from tools.search import search
    from tools.shell import run_shell
    from tools.testing_tools import read_test_report, run_tests
    from tools.workspace_diff import diff

    from .tooling.tool import Tool

__all__ = [
    "NAMES",
    "apply_diff",
    "debug_evaluate",
    "debug_look",
    "debug_resume",
    "debug_start",
    "debug_stop",
    "diff",
    "edit_file",
    "edit_files",
    "find",
    "find_definition",
    "find_references",
    "list_files",
    "outline",
    "read_file",
    "read_process",
    "read_test_report",
    "run_shell",
    "run_tests",
    "search",
    "start_process",
    "stop_process",
    "undo_change",
    "write_file",
    "write_notes",
]

_MODULES = MappingProxyType(
    {
        "apply_diff": "changes",
        "debug_evaluate": "debugger",
        "debug_look": "debugger",
        "debug_resume": "debugger",
        "debug_start": "debugger",
        "debug_stop": "debugger",
        "diff": "workspace_diff",
        "edit_file": "files",
        "edit_files": "changes",
        "find_definition": "code",
        "find_references": "code",
        "list_files": "files",
        "outline": "code",
        "read_file": "files",
        "read_process": "processes",
        "read_test_report": "testing_tools",
        "run_shell": "shell",
        "run_tests": "testing_tools",
        "search": "search",
        "start_process": "processes",
        "stop_process": "processes",
        "undo_change": "changes",
        "write_file": "files",
        "write_notes": "notes",
    }
)

NAMES = tuple(_MODULES)
"""The names of all ready tools, sorted."""


def find(name: str) -> Tool:
    """Return the ready tool of this name.

    Raises:
        ConfigError: there is none; the message gives the nearest name.
    """
    if name not in NAMES:
        raise ConfigError(
            f"No ready tool is named {name!r}.{did_you_mean(name, NAMES)} Pass your own tool as a function; in a task "
            "file, write ./file.py:name."
        )
    tool: Tool = getattr(_module(_MODULES[name]), name)
    return tool


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> object:
        if name == "mcp_tools":
            return _module("mcp").mcp_tools
        if name not in NAMES:
            msg = f"module {__name__!r} has no attribute {name!r}.{did_you_mean(name, NAMES)}"
            raise AttributeError(msg)
        return find(name)


def __dir__() -> list[str]:
    return __all__


def _module(name: str) -> ModuleType:
    return import_module(f"{_package()}.{name}")


def _package() -> str:
    """Return the name that the package of ready tools is imported under."""
    inside = f"{__package__}.tools"
    if util.find_spec(inside) is not None:
        return inside  # installed from a wheel
    shipped = Path(__file__).resolve().parents[1] / "tools" / "__init__.py"
    if not shipped.is_file():
        raise ConfigError(f"The ready tools are not at {str(shipped.parent)!r}. Reinstall tramontane.")
    if _origin("tools") == shipped:
        return "tools"
    # The project has its own `tools`. This package has only relative imports, so it also works under another name.
    name = "_tramontane_tools"
    if name not in sys.modules:
        spec = util.spec_from_file_location(name, shipped, submodule_search_locations=[str(shipped.parent)])
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return name


def _origin(name: str) -> Path | None:
    try:
        spec = util.find_spec(name)
    except ValueError:  # the module was created by hand and has no spec
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve()
