"""vLLM's flags, environment, log lines and endpoints; does not import vLLM."""

from .flags import command
from .log import StartFact, read_start_line

__all__ = ["StartFact", "command", "read_start_line"]
