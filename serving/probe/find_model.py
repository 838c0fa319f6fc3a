"""Find the model to probe in a server's list; explains why if there is none, probes nothing."""

from collections.abc import Callable
from urllib.parse import urlsplit

from ..errors import EngineError
from .chat_reply import brief, error_text
from .records import Exchange, ProbeRequest
from .requests import RequestBuilder
from .server_checks import ModelCard, model_cards

Send = Callable[[ProbeRequest], Exchange]


def server_address(base_url: str) -> str:
    """Return a server's address without a trailing slash.

    Raises:
        EngineError: it is no HTTP URL.
    """
    address = base_url.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port, or brackets without an address
        valid = False
    if not valid:
        raise EngineError(f"{base_url!r} is not an HTTP URL.", cause="", do="Give one like http://127.0.0.1:8000/v1.")
    return address


def find_model(send: Send, build: RequestBuilder) -> ModelCard:
    """Return the entry of the wanted model in a server's list, or of its first model.

    Raises:
        EngineError: no server answers, it requires another key, or it does not list the model.
    """
    url = build.models().url
    found = send(build.models())
    if found.status is None:
        raise EngineError(
            f"No server answers at {url}.",
            cause=found.failure,
            do="Start one, or give the address of a running one; `agent serve status` shows the one started here.",
        )
    if found.status in {401, 403}:
        raise EngineError(
            f"The server requires a different API key: {url} answers with HTTP {found.status}.",
            cause="",
            do="Give the environment variable with the key: --api-key-env NAME.",
        )
    cards = model_cards(found)
    if not cards:
        text = brief(error_text(found.body), 120)
        raise EngineError(
            f"No model is listed at {url}.",
            cause=f"HTTP {found.status}: {text}",
            do="Give the base URL of the OpenAI-compatible routes; on most servers it ends in /v1.",
        )
    wanted = build.model
    card = next((card for card in cards if card.name == wanted), None) if wanted else cards[0]
    if card is None:
        names = ", ".join(brief(card.name, 80) for card in cards)
        raise EngineError(
            f"{build.base_url} does not serve {wanted!r}.",
            cause=f"it serves: {names}",
            do="Choose one of these with --model, or omit --model to probe the first.",
        )
    return card
