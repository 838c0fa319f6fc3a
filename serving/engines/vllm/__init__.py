"""Everything known of vLLM: its flags, its environment, its log lines, its endpoints; imports no vLLM."""

from .flags import CHAT, HEALTH, VllmSettings, environment
from .log import StartFact, cause_of_death, read_start_line

__all__ = ["CHAT", "HEALTH", "StartFact", "VllmSettings", "cause_of_death", "environment", "read_start_line"]
