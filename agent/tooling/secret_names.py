"""Find secrets among environment variables by name and form; reads no environment itself."""

from __future__ import annotations

import re

from .secret_shapes import has_shape

# After the rules of gitleaks 8.24 (generic-api-key and its providers) and detect-secrets 1.5 (keyword.py), read
# 2026-11-28; what ends a word there is a word here: `PGPASS`, `GH_PAT`, `NPM_CONFIG__AUTHTOKEN`, `SECRETKEYBASE`.
_ANYWHERE = re.compile(
    r"secret|token|passw(?:or)?d|passphrase|passcode|credential|api_?key|access_?key|private_?key|keybase|webhook|cookie|"
    r"bearer|auth_?key|connection_?str|conn_?str|mnemonic|keystore_?pass|session_?key|signing_?key|encryption_?key",
    re.IGNORECASE,
)
_WORDS = frozenset(
    {"key", "keys", "pat", "pwd", "pass", "pw", "jwt", "auth", "dsn", "psk", "otp", "totp", "sas", "salt", "pin",
     "creds", "cred", "signature", "sig", "sessionid", "csrf", "hmac", "pem"}
)  # fmt: skip
_ENDINGS = ("key", "pass", "pwd", "passwd", "auth", "pat")
_INNOCENT = frozenset(
    {"monkey", "donkey", "turkey", "hotkey", "hockey", "whiskey", "compass", "bypass", "encompass", "compat", "spat"}
)  # fmt: skip
_NEVER = re.compile(
    r"(?:OLD)?PWD|SSH_AUTH_SOCK|XAUTHORITY|.*(?:TOKENIZER|PUBLIC_?KEY|_KEY_?ID$).*|.*_(?:PATH|FILE|DIR|HOME|SOCK|TYPE|NAME|SIZE|TTL|"
    r"TIMEOUT)|(?:.*_)?(?:MAX|MIN|NUM|N)_TOKENS?",
    re.IGNORECASE,
)
LOGIN = re.compile(r"^[\w+.-]+://[^/@\s]*:(?P<password>[^/@\s]+)@")
"""A URL that contains a password."""
# As the value of a variable; within a text, other words begin like this.
_TOKEN = re.compile(
    r"gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|xox[a-z]-[\w-]{10,}|sk-[\w-]{20,}|SG\.[\w.-]{30,}|"
    r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*|pypi-[\w-]{50,}"
)
_MIN_CHARS = 8
_MIN_MIXED_CHARS = 6


def is_secret(name: str, value: str) -> bool:
    """Return whether a variable holds a secret: by its name, a password in a URL, or the form of a known token."""
    value = value.strip()
    if LOGIN.match(value) or _TOKEN.fullmatch(value) or has_shape(value):
        return True
    return is_secret_name(name) and is_long_enough(value)


def is_secret_name(name: str) -> bool:
    """Return whether a variable of this name holds a secret."""
    if _NEVER.fullmatch(name):
        return False
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    return _ANYWHERE.search(name) is not None or any(
        word in _WORDS or (word.endswith(_ENDINGS) and word not in _INNOCENT) for word in words
    )


def is_long_enough(value: str) -> bool:
    """Return whether a value can be replaced everywhere; a shorter one would remove ordinary words from every text."""
    is_mixed = re.search(r"[A-Za-z]", value) is not None and re.search(r"\d", value) is not None
    return len(value) >= (_MIN_MIXED_CHARS if is_mixed else _MIN_CHARS)
