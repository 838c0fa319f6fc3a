"""Look up an earlier probe's result if it still applies; requests only the server's models and version."""

import time
from pathlib import Path

from .cache import read_cache
from .records import ProbeReport
from .requests import RequestBuilder
from .server_checks import model_cards, version_of
from .transport import HttpTransport

_DEADLINE_S = 5.0


def find_report(base_url: str, *, model: str | None, api_key: str, state: Path) -> ProbeReport | None:
    """Return the stored report if it matches the server's current model and version, else None.

    Returns None also if the server does not answer. A server restarted with other flags is not detected: probe it
    again after changing flags.

    Args:
        base_url: as given to the probe.
        model: the model to use. None means the server's first.
        api_key: empty means no key is sent.
        state: the state folder with the stored results.
    """
    report = read_cache(base_url, state)
    if report is None or (model is not None and model != report.model):
        return None
    send = HttpTransport(api_key=api_key, ends_at=time.monotonic() + _DEADLINE_S, request_s=_DEADLINE_S)
    requests = RequestBuilder(base_url=report.base_url, model=report.model)
    cards = model_cards(send(requests.models()))
    if not cards or report.model != (model or cards[0].name):
        return None
    if report.version and version_of(send(requests.version(report.kind))) != report.version:
        return None
    return report
