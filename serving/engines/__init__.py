"""One package per engine: only these depend on an engine's flags, log lines and endpoints."""

from ..capacity.sizing import Plan
from . import sglang, vllm
from .command import EngineCommand, ServeOptions

__all__ = ["engine_command"]


def engine_command(plan: Plan, options: ServeOptions) -> EngineCommand:
    """Build the command that starts the planned engine; does not check whether the plan fits.

    Raises:
        EngineError: the host can be reached from other machines and there is no key, or this engine cannot serve the
            plan.
    """
    match plan.request.engine:
        case "vllm":
            return vllm.command(plan, options)
        case "sglang":
            return sglang.command(plan, options)
