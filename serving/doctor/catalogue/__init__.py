"""Catalogue of every known symptom: its title, causes and fixes; data only."""

from ..symptoms import Symptom
from .builds import BUILDS
from .files import FILES
from .memory import MEMORY
from .network import NETWORK
from .packages import PACKAGES
from .requests import REQUESTS
from .server import SERVER
from .settings import SETTINGS
from .starts import STARTS
from .system import SYSTEM

__all__ = ["CATALOGUE"]

CATALOGUE: dict[str, Symptom] = {
    **MEMORY,
    **SETTINGS,
    **FILES,
    **BUILDS,
    **PACKAGES,
    **NETWORK,
    **SYSTEM,
    **STARTS,
    **SERVER,
    **REQUESTS,
}
"""All symptoms by name."""
