"""SGLang's flags, log lines and endpoints; does not import SGLang."""

from .flags import command

__all__ = ["command"]
