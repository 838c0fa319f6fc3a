"""Resolve tool references to tools; checks where a module comes from first, and never touches sys.path."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import cast

from ..errors import ConfigError
from ..nearest import did_you_mean
from ..tooling.arguments import JsonObject
from ..tooling.tool import Tool
from .parts import McpServer, ToolUse


@dataclass(frozen=True, kw_only=True, slots=True)
class AvailableTool:
    """One of the ready tools, as `agent tools` lists it."""

    name: str
    """What a task writes under `tools:`."""
    reference: str
    """Such as `tools.files:read_file`."""
    description: str
    """First line of what the model reads."""
    read_only: bool
    exclusive: bool
    parameters: JsonObject
    """JSON Schema of its arguments."""


def load_tools(references: Iterable[str | ToolUse], *, directory: Path) -> tuple[Tool, ...]:
    """Load tools in the order given.

    Args:
        references: a ready tool's name, `package.module:name`, `./file.py:name`, or `./file.py` for all its tools.
        directory: where the paths of files start; the task file's folder.

    Raises:
        ConfigError: a reference does not lead to a tool, or the code behind it fails.
    """
    loader = _Loader(directory=directory)
    return tuple(tool for reference in references for tool in loader.tools(reference))


def load_mcp_tools(servers: Mapping[str, McpServer], *, directory: Path) -> tuple[Tool, ...]:
    """Load the tools of MCP servers.

    Raises:
        ConfigError: a server does not answer, or a tool of it cannot be used.
    """
    if not servers:
        return ()
    return cast("tuple[Tool, ...]", importlib.import_module(f"{SHIPPED}.mcp").mcp_tools(servers, directory))


def available_tools() -> tuple[AvailableTool, ...]:
    """List the ready tools; imports them all.

    Raises:
        ConfigError: the package of ready tools is missing or broken.
    """
    listed: list[AvailableTool] = []
    for name, reference in _builtin_tools().items():
        tool = _builtin(reference)
        listed.append(
            AvailableTool(
                name=name,
                reference=reference,
                description=tool.description.partition("\n")[0],
                read_only=tool.read_only,
                exclusive=tool.exclusive,
                parameters=tool.parameters,
            )
        )
    return tuple(listed)


SHIPPED = "tools"
_PRIVATE = "_tramontane_tools"
_SHIPPED_FILE = Path(__file__).resolve().parents[2] / SHIPPED / "__init__.py"


class _Loader:
    def __init__(self, *, directory: Path) -> None:
        self._directory = directory
        self._files: dict[Path, ModuleType] = {}  # two tools of one file share its state

    def tools(self, reference: str | ToolUse) -> tuple[Tool, ...]:
        use = ToolUse(use=reference) if isinstance(reference, str) else reference
        found = self._found(use.use.strip())
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

    def _found(self, reference: str) -> tuple[Tool, ...]:
        place, colon, name = reference.rpartition(":") if ":" in reference else (reference, "", "")
        if place.endswith(".py"):
            module = self._file(place)
            return (_tool(module, name, reference),) if colon else _all_tools(module, reference)
        if not colon:
            return (_short(reference),)
        if not all(part.isidentifier() for part in place.split(".")):
            raise ConfigError(
                f"Cannot read the tool reference {reference!r}. Write the name of a ready tool, "
                "package.module:name, or ./file.py:name."
            )
        return (_tool(_module(place, reference), name, reference),)

    def _file(self, place: str) -> ModuleType:
        path = (self._directory / place).resolve()
        if path not in self._files:
            self._files[path] = _load_file(path, place)
        return self._files[path]


def _short(name: str) -> Tool:
    known = _builtin_tools()
    if name not in known:
        raise ConfigError(
            f"No ready tool is named {name!r}.{did_you_mean(name, known)} For a tool of your own write ./file.py:name."
        )
    return _builtin(known[name])


def _tool(module: ModuleType, name: str, reference: str) -> Tool:
    value = getattr(module, name, None)
    if isinstance(value, Tool):
        return value
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
    found = {id(value): value for value in vars(module).values() if isinstance(value, Tool)}
    if not found:
        raise ConfigError(
            f"Cannot load {reference!r}: {module.__file__} has no tools. Put @tool above a function: "
            "from agent import tool."
        )
    return tuple(found.values())


class _FreshLoader(SourceFileLoader):
    # No __pycache__ beside the user's file: it would litter the workspace, and a file edited twice within a second
    # at the same size would run stale.
    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _load_file(path: Path, place: str) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"Cannot load tools from {place!r}: {str(path)!r} is not a file. Check the path.")
    name = f"_agent_tools_{path.stem}_{abs(hash(path)):x}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_FreshLoader(name, str(path)))
    if spec is None or spec.loader is None:
        raise ConfigError(f"Cannot load tools from {place!r}: Python does not know how to read it. Name a .py file.")
    loader, module = spec.loader, importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pydantic look their module up by name
    try:
        _guarded(lambda: loader.exec_module(module), place, path)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _guarded(load: Callable[[], object], what: str, path: Path | None) -> None:
    try:
        load()
    except (Exception, SystemExit) as error:  # importing runs foreign code, which may do anything
        reason = error.problem if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
        place = _place(error, path)
        raise ConfigError(f"Cannot load {what!r}: {reason}", path=place.path, line=place.line) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    path: Path | None
    line: int | None


def _place(error: BaseException, path: Path | None) -> _Place:
    """Find the deepest line in the file at `path`; in any file of Python source when that is None."""
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
    if top == SHIPPED:
        _check_origin(spec, name)
    if spec is None:
        raise ConfigError(
            f"Cannot load {reference!r}: no module {top!r} is installed, and the current folder is not searched. "
            f'Refer to a file by its path: tools: ["./{top}.py:{reference.rpartition(":")[2]}"].'
        )
    return _imported(name)


def _imported(name: str) -> ModuleType:
    _guarded(lambda: importlib.import_module(name), name, None)
    return sys.modules[name]


def _spec(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    except ValueError:  # a module made by hand, without a spec
        return ModuleSpec(name, None, origin=getattr(sys.modules.get(name), "__file__", None))


def _check_origin(spec: ModuleSpec | None, name: str) -> None:
    if not _SHIPPED_FILE.is_file():
        raise ConfigError(
            f"Cannot load {name!r}: the ready tools are not at {str(_SHIPPED_FILE.parent)!r}. Install tramontane again."
        )
    if not _is_shipped(spec):
        origin = "not found" if spec is None else spec.origin or str(list(spec.submodule_search_locations or ()))
        raise ConfigError(
            f'Cannot load "{name}": `{SHIPPED}` is {origin}, not the package shipped with agent at '
            f"{_SHIPPED_FILE.parent}. Rename it, or refer to it by path: "
            f'tools: ["./{SHIPPED}.py:fetch"]; the ready tools load by their short names all the same.'
        )


def _is_shipped(spec: ModuleSpec | None) -> bool:
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == _SHIPPED_FILE


def _shipped(name: str) -> ModuleType:
    spec = _spec(SHIPPED)
    if _is_shipped(spec):
        return _imported(name)
    if not _SHIPPED_FILE.is_file():
        _check_origin(spec, name)
    # A user's own tools.py shadows ours. The package imports itself relatively, so it runs under another name too.
    if _PRIVATE not in sys.modules:
        private = importlib.util.spec_from_file_location(
            _PRIVATE, _SHIPPED_FILE, submodule_search_locations=[str(_SHIPPED_FILE.parent)]
        )
        assert private is not None
        assert private.loader is not None
        module = importlib.util.module_from_spec(private)
        sys.modules[_PRIVATE] = module
        private.loader.exec_module(module)
    return _imported(_PRIVATE + name.removeprefix(SHIPPED))


def _builtin_tools() -> Mapping[str, str]:
    return cast("Mapping[str, str]", _shipped(SHIPPED).BUILTIN_TOOLS)


def _builtin(reference: str) -> Tool:
    place, _, name = reference.rpartition(":")
    return _tool(_shipped(place), name, reference)
