"""The front door of the framework: the public names, no work; heavy ones load when they are first used."""

from .errors import ToolError
from .messages import Image
from .toolspec import Tool, ToolContext, tool

__all__ = ["Image", "Tool", "ToolContext", "ToolError", "tool"]
