"""The front door of serving: stand a model up on this machine; imports neither agent nor tools."""

from .engine import Engine, pocket_engine
from .errors import EngineError
from .progress import Progress
from .record import ServerRecord, current_server, stop_server

__all__ = [
    "Engine",
    "EngineError",
    "Progress",
    "ServerRecord",
    "current_server",
    "pocket_engine",
    "stop_server",
]
