"""Everything known of vLLM: its flags, its environment, its log lines, its endpoints; imports no vLLM."""

from .flags import CHAT, HEALTH, VllmSettings, command, cpu_command, environment
from .log import StartFact, read_start_line

__all__ = [
    "CHAT",
    "HEALTH",
    "StartFact",
    "VllmSettings",
    "command",
    "cpu_command",
    "environment",
    "read_start_line",
]
