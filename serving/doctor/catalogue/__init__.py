"""Catalogue of every known symptom: its title, causes and fixes; data only."""

from ..symptoms import Symptom
from .files import FILES
from .memory import MEMORY
from .requests import REQUESTS
from .server import SERVER
from .settings import SETTINGS
from .system import SYSTEM

__all__ = ["CATALOGUE"]

CATALOGUE: dict[str, Symptom] = {**MEMORY, **SETTINGS, **FILES, **SYSTEM, **SERVER, **REQUESTS}
"""All symptoms by name."""
