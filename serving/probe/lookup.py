"""Find what an earlier probe found of a server, if it is still the same one; asks it for its model and version only."""

import time
from pathlib import Path

from .cache import read_cache
from .records import ProbeReport
from .requests import Questions
from .server_checks import model_cards, version_of
from .transport import HttpTransport

_DEADLINE_S = 5.0


def find_report(base_url: str, *, model: str | None, api_key: str, state: Path) -> ProbeReport | None:
    """Return the report that holds for the server as it is now; None: there is none, or the server does not answer.

    A server started anew with other flags is not told from its forerunner: those who start one probe it again.

    Args:
        base_url: as it was given to the probe.
        model: the model to be asked. None: the server's first.
        api_key: empty: none is sent.
        state: the state dir that holds what probes found.
    """
    report = read_cache(base_url, state)
    if report is None or (model is not None and model != report.model):
        return None
    ask = HttpTransport(api_key=api_key, ends_at=time.monotonic() + _DEADLINE_S)
    questions = Questions(base_url=report.base_url, model=report.model)
    cards = model_cards(ask(questions.models()))
    if not cards or report.model != (model or cards[0].name):
        return None
    if report.version and version_of(ask(questions.version(report.kind))) != report.version:
        return None
    return report
