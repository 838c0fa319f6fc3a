"""Everything known of vLLM: its flags, its environment, its log lines, its endpoints; imports no vLLM."""

from .flags import command
from .log import StartFact, read_start_line

__all__ = ["StartFact", "command", "read_start_line"]
