"""Everything known of SGLang: its flags, its endpoints; imports no SGLang."""

from .flags import command

__all__ = ["command"]
