"""Refuse tools that lack what they need, packages or the right `deps`, before a run starts; imports no package."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import cast, get_origin, is_typeddict

from typing_extensions import is_protocol

from ..errors import ConfigError
from .tool import Tool


def check_requirements(tools: Iterable[Tool]) -> None:
    """Check that the packages are installed that tools need: a tool without them would cost tokens in each request.

    Raises:
        ConfigError: some are not; the message names them, the tools, and the command that installs them.
    """
    missing: dict[str, list[str]] = {}
    installs: dict[str, None] = {}
    for tool in tools:
        for module, install in tool.requires.items():
            if find_spec(module) is None:
                missing.setdefault(module, []).append(tool.name)
                installs[f'"{install}"'] = None
    if not missing:
        return
    needs = "; ".join(
        f"{', '.join(names)} {'needs' if len(names) == 1 else 'need'} {module}" for module, names in missing.items()
    )
    are = "A package that tools need is" if len(missing) == 1 else "Packages that tools need are"
    raise ConfigError(
        f"{are} not installed: {needs}. Run pip install {' '.join(installs)}, or leave these tools out of `tools`."
    )


def check_deps(tools: Iterable[Tool], deps: object) -> None:
    """Check that the `deps` of a run are what each tool's ToolContext is annotated with, as far as a class says it.

    Raises:
        ConfigError: a tool needs another type; the message names it and the type.
    """
    for tool in tools:
        wanted = dict if is_typeddict(tool.deps_type) else get_origin(tool.deps_type) or tool.deps_type
        if not isinstance(wanted, type) or _is_plain_protocol(cast("type[object]", wanted)):
            continue
        if not isinstance(deps, wanted):
            got = "none were given" if deps is None else f"they are of type {type(deps).__name__}"
            name = wanted.__name__
            msg = f"Tool {tool.name!r} needs `deps` of type {name}, but {got}. Give them: Agent(..., deps={name}(...))."
            raise ConfigError(msg, key="deps")


def _is_plain_protocol(kind: type[object]) -> bool:
    """Return whether isinstance would refuse this class."""
    return is_protocol(kind) and not getattr(kind, "_is_runtime_protocol", False)
