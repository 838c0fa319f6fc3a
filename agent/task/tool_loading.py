"""Resolve tool references to tools; checks first where a module comes from, and never changes sys.path."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import cast

from .. import ready_tools
from ..errors import ConfigError
from ..nearest import did_you_mean
from ..sandbox import Sandbox
from ..tooling.requirements import check_requirements
from ..tooling.tool import Tool, ToolSource, tool
from .mcp_server import McpServer
from .parts import ToolUse


def load_tools(references: Iterable[str | ToolUse], *, directory: Path) -> tuple[Tool, ...]:
    """Load tools in the order given.

    Args:
        references: a ready tool's name, `package.module:name`, `./file.py:name`, or `./file.py` for all its tools.
        directory: the task file's folder, where relative paths start.

    Raises:
        ConfigError: a reference does not resolve to a tool, or importing its code fails.
    """
    loader = _Loader(directory=directory)
    return tuple(tool for reference in references for tool in loader.tools(reference))


def as_tools(given: Sequence[Tool | ToolSource | str]) -> tuple[Tool, ...]:
    """Return the tools that a program gives: tools as they are, functions and models made into tools, names looked up.

    Raises:
        ConfigError: one is no tool and cannot be made one, or no ready tool has this name.
    """
    tools = tuple(map(_as_tool, given))
    check_requirements(tools)
    return tools


def _as_tool(given: Tool | ToolSource | str) -> Tool:
    if isinstance(given, str):
        return ready_tools.find(given)
    if hasattr(given, "as_tool"):
        msg = "An agent becomes a tool of another by a name: tools=[other.as_tool(name, description)]."
        raise ConfigError(msg, key="tools")
    return cast("Tool", given) if isinstance(given, Tool) else tool(given)


def load_all_tools(
    references: Iterable[str | ToolUse], servers: Mapping[str, McpServer], *, directory: Path, writable: Sequence[Path],
    sandbox: Callable[[str], Sandbox] | None,
) -> tuple[Tool, ...]:  # fmt: skip
    """Load the tools of a task and those of its MCP servers; see `load_tools` and `load_mcp_tools`.

    Args:
        references: as of `load_tools`.
        servers: by their names.
        directory: the task file's folder.
        writable: folders that the run may change, the workspace first.
        sandbox: finds that in which a server, by its name, lists its tools. None means that servers cannot run in it.
    """
    tools = load_tools(references, directory=directory)
    check_requirements(tools)
    taken = [tool.name for tool in tools]
    return (*tools, *load_mcp_tools(
        servers, directory=directory, writable=writable, changing=writable, sandbox=sandbox, taken=taken
    ))  # fmt: skip


def load_mcp_tools(
    servers: Mapping[str, McpServer], *, directory: Path, writable: Sequence[Path], taken: Iterable[str] = (),
    changing: Sequence[Path] = (), sandbox: Callable[[str], Sandbox] | None = None,
) -> tuple[Tool, ...]:  # fmt: skip
    """Load the tools of MCP servers.

    Args:
        servers: by their names.
        directory: where their commands run.
        writable: folders that commands of a run may change; what servers outside the sandbox load there is looked at.
        taken: names of other tools, which none of these may have.
        changing: those that the run itself may change, the workspace first; what runs code of them is sandboxed.
        sandbox: finds that in which a server, by its name, lists its tools. None means that servers cannot run in it.

    Raises:
        ConfigError: a server does not answer, or one of its tools cannot be used.
    """
    if not servers:
        return ()
    return ready_tools.mcp_tools(servers, directory, writable=writable, taken=taken, changing=changing, sandbox=sandbox)


class _Loader:
    def __init__(self, *, directory: Path) -> None:
        self._directory = directory
        self._files: dict[Path, ModuleType] = {}  # tools from one file share its state

    def tools(self, reference: str | ToolUse) -> tuple[Tool, ...]:
        use = ToolUse(use=reference) if isinstance(reference, str) else reference
        found = self._resolve(use.use.strip())
        return tuple(
            replace(
                tool,
                timeout_s=tool.timeout_s if use.timeout_s is None else use.timeout_s,
                output_limit_chars=(
                    tool.output_limit_chars if use.output_limit_chars is None else use.output_limit_chars
                ),
            )
            for tool in found
        )

    def _resolve(self, reference: str) -> tuple[Tool, ...]:
        place, colon, name = reference.rpartition(":") if ":" in reference else (reference, "", "")
        if place.endswith(".py"):
            module = self._file(place)
            return (_tool(module, name, reference),) if colon else _all_tools(module, reference)
        if not colon:
            return (ready_tools.find(reference),)
        if not all(part.isidentifier() for part in place.split(".")):
            raise ConfigError(
                f"Cannot parse the tool reference {reference!r}. Write the name of a ready tool, "
                "package.module:name, or ./file.py:name."
            )
        if place.startswith("tools.") and name in ready_tools.NAMES and _spec("tools") is None:
            return (ready_tools.find(name),)  # as ready tools were referred to before a wheel had one package
        return (_tool(_module(place, reference), name, reference),)

    def _file(self, place: str) -> ModuleType:
        path = (self._directory / place).resolve()
        if path not in self._files:
            self._files[path] = _load_file(path, place)
        return self._files[path]


def _tool(module: ModuleType, name: str, reference: str) -> Tool:
    value = getattr(module, name, None)
    if isinstance(value, Tool):
        return cast("Tool", value)
    where = getattr(module, "__file__", None) or module.__name__
    tools = [key for key, item in vars(module).items() if isinstance(item, Tool)]
    if value is None:
        raise ConfigError(f"Cannot load {reference!r}: {where} has no tool {name!r}.{did_you_mean(name, tools)}")
    if callable(value):
        raise ConfigError(
            f"Cannot load {reference!r}: {name!r} in {where} is not a tool. Put @tool above it: from agent import tool."
        )
    kind = type(cast("object", value)).__name__
    raise ConfigError(f"Cannot load {reference!r}: {name!r} in {where} is of type {kind}, not a tool.")


def _all_tools(module: ModuleType, reference: str) -> tuple[Tool, ...]:
    tools = [cast("Tool", value) for value in vars(module).values() if isinstance(value, Tool)]
    found = {id(one): one for one in tools}  # a tool may have two names
    if not found:
        raise ConfigError(
            f"Cannot load {reference!r}: {module.__file__} has no tools. Put @tool above a function: "
            "from agent import tool."
        )
    return tuple(found.values())


class _FreshLoader(SourceFileLoader):
    # No __pycache__ beside the user's file: it would litter the workspace, and it would be stale for a file that is
    # edited twice within a second without changing its size.
    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _load_file(path: Path, place: str) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"Cannot load tools from {place!r}: {str(path)!r} is not a file. Check the path.")
    name = f"_agent_tools_{path.stem}_{abs(hash(path)):x}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_FreshLoader(name, str(path)))
    if spec is None or spec.loader is None:
        raise ConfigError(f"Cannot load tools from {place!r}: Python cannot import it. Give a .py file.")
    loader, module = spec.loader, importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pydantic look their module up by name
    try:
        _import(lambda: loader.exec_module(module), place, path)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import(load: Callable[[], object], name: str, path: Path | None) -> None:
    try:
        load()
    except (Exception, SystemExit) as error:  # importing runs the user's code, which may raise anything
        reason = error.problem if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
        place = _place(error, path)
        raise ConfigError(f"Cannot load {name!r}: {reason}", path=place.path, line=place.line) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    path: Path | None
    line: int | None


def _place(error: BaseException, path: Path | None) -> _Place:
    """Return the deepest traceback line in the file at `path`, or in any Python source file if `path` is None."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return _Place(path=Path(error.filename), line=error.lineno)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == str(path) or (path is None and not frame.filename.startswith("<")):
            foreign = frame.filename not in {__file__, importlib.__file__}
            return _Place(path=Path(frame.filename), line=frame.lineno) if foreign else _Place(path=None, line=None)
    return _Place(path=path, line=None)


def _module(name: str, reference: str) -> ModuleType:
    top = name.partition(".")[0]
    spec = _spec(top)
    if spec is None:
        raise ConfigError(
            f"Cannot load {reference!r}: no module {top!r} is installed, and the current folder is not searched. "
            f'Refer to a file by its path: tools: ["./{top}.py:{reference.rpartition(":")[2]}"].'
        )
    return _imported(name)


def _imported(name: str) -> ModuleType:
    _import(lambda: importlib.import_module(name), name, None)
    return sys.modules[name]


def _spec(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    except ValueError:  # the module was created by hand and has no spec
        return ModuleSpec(name, None, origin=getattr(sys.modules.get(name), "__file__", None))
