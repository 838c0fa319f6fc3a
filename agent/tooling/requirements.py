"""Refuse tools whose Python packages are not installed, before a run starts; imports none of them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

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
