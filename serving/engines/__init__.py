"""One module for each engine: the only places that know an engine's flags, log lines and endpoints."""

from ..capacity.sizing import Plan
from . import sglang, vllm
from .command import EngineCommand, ServeOptions

__all__ = ["engine_command"]


def engine_command(plan: Plan, options: ServeOptions) -> EngineCommand:
    """Make the command that starts the planned engine; whether the plan fits is not asked.

    Raises:
        EngineError: the host is open and there is no key, or this engine cannot serve what is planned.
    """
    match plan.request.engine:
        case "vllm":
            return vllm.command(plan, options)
        case "sglang":
            return sglang.command(plan, options)
