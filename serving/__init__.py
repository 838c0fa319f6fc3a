"""Export the public names of serving, each imported on first use; imports neither agent nor tools."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .capacity.planner import plan
    from .capacity.sizing import Change, Plan, PlanOptions, PlanRequest
    from .doctor import Diagnosis, diagnose
    from .engine import Engine, pocket_engine
    from .engines.command import ServeOptions
    from .errors import EngineError
    from .progress import Progress
    from .running.death import EngineDied
    from .running.record import ServerRecord, current_server, stop_server

__all__ = [
    "Change",
    "Diagnosis",
    "Engine",
    "EngineDied",
    "EngineError",
    "Plan",
    "PlanOptions",
    "PlanRequest",
    "Progress",
    "ServeOptions",
    "ServerRecord",
    "current_server",
    "diagnose",
    "plan",
    "pocket_engine",
    "stop_server",
]

# Importing everything takes 0.14 s; a run that only looks up the recorded server needs a tenth of that.
_MODULES = {
    "Change": "capacity.sizing",
    "Diagnosis": "doctor",
    "Engine": "engine",
    "EngineDied": "running.death",
    "EngineError": "errors",
    "Plan": "capacity.sizing",
    "PlanOptions": "capacity.sizing",
    "PlanRequest": "capacity.sizing",
    "Progress": "progress",
    "ServeOptions": "engines.command",
    "ServerRecord": "running.record",
    "current_server": "running.record",
    "diagnose": "doctor",
    "plan": "capacity.planner",
    "pocket_engine": "engine",
    "stop_server": "running.record",
}


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        from importlib import import_module

        value: object = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
