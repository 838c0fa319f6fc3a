"""How a run ends."""

from __future__ import annotations

from typing import Literal

Status = Literal["verified", "finished", "verify_failed", "budget", "stuck", "interrupted", "error"]
"""How a run ends."""
