"""Diagnose an HTTP error of an engine from its status and body; sends no request."""

import json
from collections.abc import Mapping
from typing import Any, cast

from ..capacity.sizing import EngineName
from .catalogue import CATALOGUE
from .records import Diagnosis
from .symptom_index import symptom_index
from .symptoms import fill, match_values

_SHOWN_CHARS = 500

_BY_STATUS: Mapping[int, str] = {
    401: "unauthorized",
    403: "unauthorized",
    404: "no_endpoint",
    405: "no_endpoint",
    429: "overloaded",
    502: "no_backend",
    503: "not_ready",
    504: "no_backend",
}


def diagnose_http(status: int, body: str, *, engine: EngineName | None = None) -> Diagnosis | None:
    """Return what is wrong with a request or the server; None if the status is not an error. Never raises.

    Args:
        status: of the response.
        body: of the response, as text; JSON or anything else.
        engine: the engine that responded. None means that vLLM is assumed where it makes a difference.
    """
    if status < 400:
        return None
    index = symptom_index(engine or "vllm")
    message = _message(body)
    for pattern in index.patterns:
        if found := pattern.regex.search(message):
            return _diagnosis(pattern.symptom, match_values(found, index.flags), message, engine)
    if index.death.search(message):
        return _diagnosis("engine_dead", {}, message, engine)
    if status in _BY_STATUS:
        return _diagnosis(_BY_STATUS[status], {"status": str(status)}, message, engine)
    return Diagnosis(
        symptom="unknown",
        title=f"The server answered {status}, for a reason unknown to the doctor",
        cause="",
        evidence=message[:_SHOWN_CHARS],
        line=0,
        fix="Check the server's log: agent doctor --log FILE",
        fatal=False,
    )


def _diagnosis(symptom: str, values: dict[str, str], message: str, engine: EngineName | None) -> Diagnosis:
    entry = CATALOGUE[symptom]
    return Diagnosis(
        symptom=symptom,
        title=fill(entry.title, values),
        cause=fill(entry.cause, values),
        evidence=message[:_SHOWN_CHARS],
        line=0,
        fix=fill(entry.fix_for(engine), values),
        fatal=entry.recurs,
    )


def _message(body: str) -> str:
    """Return the error message in a response body, in any of the forms that servers use."""
    try:
        found: Any = json.loads(body)
    except ValueError:
        return body.strip()
    if not isinstance(found, dict):
        return body.strip()
    values = cast("dict[str, Any]", found)
    # The forms: vLLM and SGLang as OpenAI; vLLM without a key; SGLang and old vLLM; FastAPI itself.
    error: Any = values.get("error", values)
    if isinstance(error, dict):
        fields = cast("dict[str, Any]", error)
        error = fields.get("message", fields.get("detail", body))
    return error if isinstance(error, str) else json.dumps(error)
