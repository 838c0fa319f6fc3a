"""What has the form of a secret is replaced without a name; hashes, UUIDs and other ordinary text stay."""

from __future__ import annotations

import base64
import hashlib
import random
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.tooling.redaction import redacted, secrets_in

CHANCE = random.Random(7)


def some(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(CHANCE.choices(alphabet, k=count))


HEX, DIGITS = "0123456789abcdef", string.digits
KEY_LINES = [some(64, string.ascii_letters + string.digits + "+/") for _ in range(12)] + [some(20) + "=="]
TOKENS = {
    "AWS ACCESS KEY": "AKIA" + some(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
    "GITHUB TOKEN": "ghp_" + some(36),
    "GITLAB TOKEN": "glpat-" + some(20),
    "SLACK TOKEN": f"xoxb-{some(12, DIGITS)}-{some(12, DIGITS)}-{some(24)}",
    "SLACK WEBHOOK": f"hooks.slack.com/services/T{some(8)}/B{some(10)}/{some(24)}",
    "OPENAI KEY": f"sk-proj-{some(74)}T3BlbkFJ{some(74)}",
    "ANTHROPIC KEY": f"sk-ant-api03-{some(93)}AA",
    "API KEY": "sk-" + some(32, HEX),
    "GOOGLE KEY": "AIza" + some(35),
    "STRIPE KEY": "sk_live_" + some(24),
    "HUGGING FACE TOKEN": "hf_" + some(34),
    "NPM TOKEN": "npm_" + some(36),
    "PYPI TOKEN": "pypi-AgEIcHlwaS5vcmc" + some(80),
    "SENDGRID KEY": f"SG.{some(22)}.{some(43)}",
    "DIGITALOCEAN TOKEN": "dop_v1_" + some(64, HEX),
    "VAULT TOKEN": "hvs." + some(95),
    "JWT": ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (
        b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"jane","exp":1790000000}', hashlib.sha256(b"x").digest())),
}  # fmt: skip


@pytest.mark.parametrize(("name", "token"), TOKENS.items())
@pytest.mark.parametrize(
    "around", ["{}", "token={}\n", '"{}"', "curl -H 'Authorization: Bearer {}' https://x", "a/{};"]
)
def test_a_token_is_replaced_although_no_variable_holds_it(name: str, token: str, around: str):
    """Tokens in files that nobody named reached the model, the journal and kept outputs."""
    assert redacted(around.format(token), {}) == around.format(f"[secret {name}]")
    assert secrets_in({"X": token}).keys() == {"X"}


@pytest.mark.parametrize(
    "text",
    [
        hashlib.md5(b"x").hexdigest(), hashlib.sha1(b"x").hexdigest(), hashlib.sha256(b"x").hexdigest(),
        hashlib.sha512(b"x").hexdigest(), str(uuid.UUID(int=CHANCE.getrandbits(128))),
        base64.b64encode(CHANCE.randbytes(400)).decode(),
        "sk-container-grey sk-estimator-doc-link sk-toggleable__control--with-a-long-name",
        "AKIAIOSFODNN7EXAMPLE", "ghp_" + "x" * 36, "hf_hub_download hf_xet", "npm_config_registry", "SG.foo", "eyJ",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ."
        "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
        "data:image/png;base64," + base64.b64encode(CHANCE.randbytes(200)).decode(),
        "integrity sha512-" + base64.b64encode(CHANCE.randbytes(64)).decode(),
        "my_AKIA" + some(16, string.ascii_uppercase), "xoxb-your-token-here",
        "task-" + some(32, HEX), "risk-free-lunch-is-not",
    ],
)  # fmt: skip
def test_a_hash_a_uuid_or_test_data_is_no_secret(text: str):
    assert redacted(text, {}) == text


@given(st.binary(min_size=1, max_size=300))
def test_random_bytes_in_base64_and_hexadecimal_are_no_secret(data: bytes):
    text = f"{base64.b64encode(data).decode()} {data.hex()} {base64.urlsafe_b64encode(data).decode()}"
    assert redacted(text, {}) == text


PEM = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *KEY_LINES, "-----END RSA PRIVATE KEY-----"])
LOCKED = PEM.replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00AA\n\n", 1)
PGP = PEM.replace("RSA PRIVATE KEY-", "PGP PRIVATE KEY BLOCK-").replace("-----\n", "-----\n\n", 1)


@pytest.mark.parametrize("pem", [PEM, LOCKED, PGP])
def test_a_private_key_is_replaced_with_its_headers_and_keeps_its_lines(pem: str):
    """A key with headers, or of PGP, passed; one without moved the numbers of the lines after it."""
    shown = redacted(f"before\n{pem}\nafter", {})
    assert shown.split("\n") == ["before", *["[secret PRIVATE KEY]"] * (pem.count("\n") + 1), "after"]


@pytest.mark.parametrize("begin", range(1, 13, 3))
@pytest.mark.parametrize("mark", ["", "  ", "12: "])
def test_the_end_of_a_private_key_is_replaced_where_its_beginning_was_cut_off(begin: int, mark: str):
    lines = [f"{mark}{line}" for line in PEM.split("\n")[begin:]]
    shown = redacted("\n".join(["[... 100 bytes cut ...]", *lines, "after"]), {})
    assert not [line for line in KEY_LINES if line in shown]
    assert shown.startswith("[... 100 bytes cut ...]\n[secret PRIVATE KEY]\n")
    assert shown.endswith("\nafter")


@given(
    before=st.text(max_size=40), after=st.text(max_size=40), secret=st.sampled_from([*TOKENS.values(), PEM, LOCKED]),
    named=st.booleans(),
)  # fmt: skip
def test_redaction_never_changes_the_number_of_lines(before: str, after: str, secret: str, named: bool):
    text = f"{before} {secret} {after}"
    shown = redacted(text, {"K": secret} if named else {})
    assert secret not in shown
    assert shown.count("\n") == text.count("\n")
