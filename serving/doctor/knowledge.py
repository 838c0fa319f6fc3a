"""Bring together what the engines' modules know of their logs, for one engine or for all; adds nothing of its own."""

import re
from dataclasses import dataclass

from ..capacity.planning import EngineName
from ..engines import libraries, mistral_messages
from ..engines.sglang import log as sglang_log
from ..engines.signs import Sign
from ..engines.vllm import failures as vllm_failures
from ..engines.vllm import log as vllm_log
from ..startfacts import Telltale


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """What to look for in a log."""

    engine: EngineName
    signs: tuple[Sign, ...]
    """In the order in which they are tried; a line is what the first that fits says."""
    death: re.Pattern[str]
    """Lines that say only that the engine ended."""
    banner: re.Pattern[str]
    ready: re.Pattern[str]
    stopped: re.Pattern[str]
    start: tuple[Telltale, ...]
    load: tuple[Telltale, ...]
    flags: tuple[str, ...]
    """Those that people give."""


VLLM = Knowledge(
    engine="vllm",
    signs=(*vllm_failures.SIGNS, *mistral_messages.SIGNS, *libraries.SIGNS, *vllm_failures.FIELD_SIGNS),
    death=vllm_failures.DEATH,
    banner=vllm_log.BANNER,
    ready=vllm_log.READY,
    stopped=vllm_log.STOPPED,
    start=vllm_log.START,
    load=vllm_log.LOAD,
    flags=vllm_failures.FLAGS,
)
SGLANG = Knowledge(
    engine="sglang",
    signs=(*sglang_log.SIGNS, *mistral_messages.SIGNS, *libraries.SIGNS),
    death=sglang_log.DEATH,
    banner=sglang_log.BANNER,
    ready=sglang_log.READY,
    stopped=sglang_log.STOPPED,
    start=sglang_log.START,
    load=sglang_log.LOAD,
    flags=sglang_log.FLAGS,
)


def knowledge_of(engine: EngineName) -> Knowledge:
    """Choose what is known of one engine."""
    return SGLANG if engine == "sglang" else VLLM
