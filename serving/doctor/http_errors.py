"""Say what an HTTP error of an engine means; pure over status and body, asks nobody."""

import json
from collections.abc import Mapping
from typing import Any, cast

from ..capacity.sizing import EngineName
from .catalogue import CATALOGUE
from .records import Diagnosis
from .symptom_index import symptom_index
from .symptoms import fill, known_values

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
    """Name what is wrong with a request or with the server; None: the status is no error. Never raises.

    Args:
        status: of the answer.
        body: of the answer, as text; JSON or anything else.
        engine: who answered. None: vLLM is assumed where it makes a difference.
    """
    if status < 400:
        return None
    known = symptom_index(engine or "vllm")
    message = _message(body)
    for pattern in known.patterns:
        if found := pattern.regex.search(message):
            return _diagnosis(pattern.symptom, known_values(found, known.flags), message, engine)
    if known.death.search(message):
        return _diagnosis("engine_dead", {}, message, engine)
    if status in _BY_STATUS:
        return _diagnosis(_BY_STATUS[status], {"status": str(status)}, message, engine)
    return Diagnosis(
        symptom="unknown",
        title=f"The server answered {status}, for a reason that the doctor does not know",
        cause="",
        evidence=message[:_SHOWN_CHARS],
        line=0,
        fix="The server's log may say more: agent doctor --log FILE",
        fatal=False,
    )


def _diagnosis(symptom: str, values: dict[str, str], message: str, engine: EngineName | None) -> Diagnosis:
    known = CATALOGUE[symptom]
    return Diagnosis(
        symptom=symptom,
        title=fill(known.title, values),
        cause=fill(known.cause, values),
        evidence=message[:_SHOWN_CHARS],
        line=0,
        fix=fill(known.fix_for(engine), values),
        fatal=known.again,
    )


def _message(body: str) -> str:
    """Find the words for people in an error's body, whichever server made it."""
    try:
        found: Any = json.loads(body)
    except ValueError:
        return body.strip()
    if not isinstance(found, dict):
        return body.strip()
    values = cast("dict[str, Any]", found)
    # vLLM and SGLang as OpenAI; vLLM's refusal without a key; SGLang and old vLLM; FastAPI by itself.
    error: Any = values.get("error", values)
    if isinstance(error, dict):
        fields = cast("dict[str, Any]", error)
        error = fields.get("message", fields.get("detail", body))
    return error if isinstance(error, str) else json.dumps(error)
