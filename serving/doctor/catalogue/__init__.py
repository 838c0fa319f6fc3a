"""Know the symptoms: what each is called, why it happens and what mends it; finds none."""

from ..symptoms import Symptom
from .files import FILES
from .memory import MEMORY
from .requests import REQUESTS
from .server import SERVER
from .settings import SETTINGS
from .system import SYSTEM

__all__ = ["CATALOGUE"]

CATALOGUE: dict[str, Symptom] = {**MEMORY, **SETTINGS, **FILES, **SYSTEM, **SERVER, **REQUESTS}
"""Per symptom what is known about it."""
