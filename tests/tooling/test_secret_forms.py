"""A secret is replaced in every form that common programs print it in, and ordinary text stays."""

from __future__ import annotations

import base64
import json
import random
import string
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.tooling.redaction import redacted, secrets_in, secrets_of_file

VALUE = "AKcanary/93ab+71ccXQ==zz"
QUOTED = 'quo"ted\\canary-8899'
URL = "postgresql+asyncpg://me:pw-canary%2F55@db/x"
SECRETS = {"KEY": VALUE, "QUOTED": QUOTED, "URL": URL, "REDIS": "redis://:redis-canary-66@h/0"}
LONG = "ghp_canary0123456789abcdef"
SECRET_NAMES = """
    PGPASS PGPASSWORD MYSQL_PWD GH_PAT JWT NPM_CONFIG__AUTHTOKEN SECRETKEYBASE SECRET_KEY_BASE
    SLACK_WEBHOOK SESSION_COOKIE APIKEY MY_PASSPHRASE AWS_SECRET_ACCESS_KEY GITHUB_TOKEN dbPassword
    clientSecret STRIPE_SK_KEY SENTRY_DSN BASIC_AUTH TWILIO_AUTH_TOKEN DB_PASS LDAPPWD SSHKEY
    AZURE_SAS APP_CREDS STORAGE_CONNECTION_STRING SIGNING_KEY HMAC PASSWORD_SALT GOOGLE_CREDENTIALS
"""
OTHER_NAMES = """
    PATH PWD OLDPWD HOME KEYBOARD_LAYOUT TOKENIZERS_PARALLELISM GIT_AUTHOR_NAME SSH_AUTH_SOCK
    MAX_TOKENS PUBLIC_KEY COMPASS_HOME MONKEY BYPASS XAUTHORITY PYTHONPATH KEY_FILE FORMAT
    XDG_SESSION_TYPE PATTERN SPINNER COMPAT AUTHOR PASSENGER_COUNT SALTY_SNACK_NAME PINNED_AT
    DBUS_SESSION_BUS_ADDRESS XDG_SESSION_ID
"""


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_variables_that_hold_secrets_are_known_by_name(name: str):
    """PGPASS, MYSQL_PWD, GH_PAT, JWT, *_WEBHOOK, *_COOKIE and others were not."""
    assert secrets_in({name: "abcdefghij1"}) == {name: "abcdefghij1"}
    assert secrets_in({name: "abc1234"}) == {name: "abc1234"}
    assert secrets_in({name: "abc"}) == {}


@pytest.mark.parametrize("name", OTHER_NAMES.split())
def test_other_variables_are_left(name: str):
    assert secrets_in({name: "abcdefghij1"}) == {}


@pytest.mark.parametrize(
    "value",
    [
        LONG + "0" * 20, "AKIAIOSFODNN7EXAMPLE", "glpat-" + "a1" * 12, "sk-" + "a1" * 12,
        "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.x",
        "postgres://u:p@h/x", "-----BEGIN RSA PRIVATE KEY-----\nMII\n",
    ],
)  # fmt: skip
def test_the_value_of_a_known_form_is_a_secret_whatever_its_name(value: str):
    assert secrets_in({"X": value}) == {"X": value}


@pytest.mark.parametrize(
    "text",
    [
        VALUE, json.dumps(VALUE), VALUE.replace("/", "\\/"), json.dumps(QUOTED), quote(VALUE), quote(VALUE, safe=""),
        quote_plus(VALUE), quote(VALUE, safe="").lower().replace("akcanary", "AKcanary").replace("xq", "XQ"),
        VALUE.encode().hex(), VALUE.encode().hex().upper(), VALUE.encode().hex(" "), VALUE[::-1], " ".join(VALUE),
        "\n".join([VALUE[:12], VALUE[12:]]), "\t".join(VALUE), URL, "pw-canary%2F55", "pw-canary/55", "redis-canary-66",
        *(base64.b64encode(b"x" * at + VALUE.encode() + b"y" * to).decode() for at in range(4) for to in range(3)),
        base64.b64encode(VALUE.encode() * 8).decode()[:76] + "\n" + base64.b64encode(VALUE.encode() * 8).decode()[76:],
        base64.urlsafe_b64encode(VALUE.encode()).decode(),
    ],
)  # fmt: skip
def test_a_secret_is_found_in_the_forms_of_common_programs(text: str):
    """JSON escapes, URLs, base64, hexadecimal digits, split and reversed ones reached the model."""
    shown = redacted(f"before {text} after", SECRETS)
    assert "[secret " in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    for part in (text, "canary", VALUE[:8], base64.b64encode(VALUE.encode()).decode()[4:16]):
        assert part not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"x{LONG[:12]}", "x[secret K]"),
        (f"{LONG[:9]}\nnext", "[secret K]\nnext"), (f"{LONG[:20]}...", "[secret K]..."),
        (f"{LONG[:20]}\n[100 characters left out]\nx", "[secret K]\n[100 characters left out]\nx"),
        (f"... {LONG[-10:]} x", "... [secret K] x"), (f"a\n{LONG[-25:]} x", "a\n[secret K] x"),
        (f"[cut]{LONG[-12:]}", "[cut][secret K]"),
        (LONG[:7], LONG[:7]), (f"{LONG[:12]} goes on", f"{LONG[:12]} goes on"),
        (f"x{LONG[-12:]} y", f"x{LONG[-12:]} y"),
    ],
)  # fmt: skip
def test_what_a_cut_left_of_a_secret_is_replaced(text: str, shown: str):
    assert redacted(text, {"K": LONG}) == shown


def test_part_of_a_path_or_a_url_in_a_secret_file_is_ordinary_text():
    env = secrets_of_file(
        "DIR=/home/user1/project\nAPI=https://api2.example.com/v1\nPY=python3\nTOKEN=abc1234\n", ".env"
    )
    text = "cd /home/user1\nhttps://api2.example\npython3 abc1234"
    assert redacted(text, env) == "cd /home/user1\nhttps://api2.example\npython3 [secret TOKEN]"


PEM = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nCANARYb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\nCANARY2AAAAAAABAAABlwAAAAdzc2gtcn\n"
    "CANARY3==\n-----END OPENSSH PRIVATE KEY-----"
)


@pytest.mark.parametrize(
    "text",
    [
        PEM, PEM.replace("\n", "\\n"), "\n".join(f"{at}\t{line}" for at, line in enumerate(PEM.split("\n"), 1)),
        "\n".join(f"{at:4} | {line}" for at, line in enumerate(PEM.split("\n"), 1)), PEM.replace("\n", "\r\n"),
        PEM[:100], "\n".join(f"  {line}" for line in PEM.split("\n")),
    ],
)  # fmt: skip
def test_a_private_key_is_replaced_without_being_named(text: str):
    shown = redacted(f"a\n{text}\nb c", {})
    assert "CANARY" not in shown
    assert shown.endswith("\nb c")


@pytest.mark.parametrize(
    "text",
    [
        'if text.startswith("-----BEGIN RSA PRIVATE KEY-----"):\n    return parse(text)\n',
        "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG\n-----END CERTIFICATE-----\n",
        "the quick brown fox", "0123456789" * 20, "",
    ],
)  # fmt: skip
def test_other_text_is_unchanged(text: str):
    assert redacted(text, SECRETS) == text


ALPHABET = string.ascii_letters + string.digits + '/+=-_.!"\\%& '


@given(
    value=st.text(ALPHABET, min_size=12, max_size=60).map(str.strip).filter(lambda text: len(text) >= 12),
    before=st.text(max_size=5),
    after=st.text(max_size=5),
    form=st.sampled_from(["plain", "json", "url", "hex", "base64", "reversed"]),
)
def test_no_form_of_any_secret_passes(value: str, before: str, after: str, form: str):
    shown = {
        "plain": value, "json": json.dumps(value)[1:-1], "url": quote(value, safe=""), "hex": value.encode().hex(),
        "base64": base64.b64encode(value.encode()).decode(), "reversed": value[::-1],
    }[form]  # fmt: skip
    assert shown not in redacted(f"{before}{shown}{after}", {"K": value}) or value.isdigit()


def test_a_long_text_with_many_secrets_takes_a_moment():
    chance = random.Random(1)
    secrets = {f"K{at}": "".join(chance.choices(ALPHABET, k=40)) for at in range(20)}
    text = "".join(chance.choices(string.printable, k=100_000)) * 20
    began = time.process_time()
    redacted(text, secrets)
    assert time.process_time() - began < 5


def test_parts_on_every_line_of_a_long_text_take_a_moment():
    """Each replacement once copied the whole text."""
    began = time.process_time()
    shown = redacted(f"{LONG[:20]}\n{LONG[-20:]} x\n" * 100_000, {"K": LONG})
    assert shown == "[secret K]\n[secret K] x\n" * 100_000
    assert time.process_time() - began < 5


def test_thousands_of_secrets_in_the_forms_of_each_take_a_moment():
    """A run that wrote 6,500 values into .env made each command of the next run take half a minute."""
    chance = random.Random(1)
    values = ["".join(chance.choices(string.ascii_letters + string.digits, k=24)) for _ in range(3000)]
    secrets = secrets_of_file("\n".join(f"K{at}_TOKEN={value}" for at, value in enumerate(values)), ".env")
    secrets["SHORT_TOKEN"] = "hunter7"
    shown = [values[2], values[3].encode().hex(), values[4][::-1], " ".join(values[5])]
    text = "\n".join([*shown, "hunter7", values[6][:12], "".join(chance.choices(string.ascii_letters, k=20_000))])
    redacted("", secrets)
    began = time.process_time()
    assert [redacted(f"text {number}", secrets) for number in range(200)] == [f"text {number}" for number in range(200)]
    lines = redacted(text, secrets).splitlines()
    assert lines[:6] == [f"[secret {name}]" for name in ("K2_TOKEN", "K3_TOKEN", "K4_TOKEN", "K5_TOKEN", "SHORT_TOKEN",
                                                        "K6_TOKEN")]  # fmt: skip
    assert time.process_time() - began < 1
