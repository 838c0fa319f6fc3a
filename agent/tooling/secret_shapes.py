"""Find secrets by their form alone: tokens with a well-known prefix, JSON Web Tokens, private keys; needs no names."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shape:
    """The form of one kind of token."""

    name: str
    begins: tuple[str, ...]
    """A text without any of these is not searched with the pattern, which is slower."""
    pattern: re.Pattern[str]


def _shape(name: str, begins: str, pattern: str) -> _Shape:
    return _Shape(name=name, begins=tuple(begins.split()), pattern=re.compile(rf"(?<![A-Za-z0-9_]){pattern}"))


# After the rules of gitleaks (config/gitleaks.toml at b58d3f1, 2026-07-22) that need no name beside the value, and of
# detect-secrets (detect_secrets/plugins at 5e14193, 2026-04-02). A rule is left out if ordinary text has its form, such
# as 40 hexadecimal digits. `-` is allowed in the middle of `sk-` only in the forms of OpenAI and Anthropic: class names
# of pages begin with it.
_END = r"(?![A-Za-z0-9_-])"
_SHAPES = (
    _shape("AWS ACCESS KEY", "AKIA ASIA ABIA ACCA", rf"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{{16}}{_END}"),
    _shape("AWS BEDROCK KEY", "ABSK", r"ABSK[A-Za-z0-9+/]{109,269}={0,2}"),
    _shape("GITHUB TOKEN", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{36,251}"),
    _shape("GITHUB TOKEN", "github_pat_", r"github_pat_\w{50,255}"),
    _shape(
        "GITLAB TOKEN",
        "glpat- gldt- glft- glsoat- glrt- glptt- glcbt- glimt- glagent- gloas- glffct-",
        r"gl(?:pat|dt|ft|soat|rt|ptt|cbt|imt|agent|oas|ffct)-[\w.-]{20,300}",
    ),
    _shape(
        "SLACK TOKEN",
        "xoxb- xoxa- xoxp- xoxe- xoxr- xoxs- xoxo- xapp-",
        r"(?:xox[abeoprs]|xapp)-(?:[A-Za-z]*-)?\d[\w-]{14,250}",
    ),
    _shape("SLACK WEBHOOK", "hooks.slack.com/", r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w+/-]{40,60}"),
    _shape("OPENAI KEY", "T3BlbkFJ", r"sk-(?:(?:proj|svcacct|admin)-)?[\w-]{20,74}T3BlbkFJ[\w-]{20,74}"),
    _shape("ANTHROPIC KEY", "sk-ant-", r"sk-ant-[a-z]+\d\d-[\w-]{60,120}"),
    _shape("API KEY", "sk-", rf"sk-(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{{32,64}}{_END}"),
    _shape("OPENROUTER KEY", "sk-or-v1-", r"sk-or-v1-[0-9a-f]{64}"),
    _shape("GOOGLE KEY", "AIza", rf"AIza[\w-]{{35}}{_END}"),
    _shape("GOOGLE TOKEN", "ya29.", r"ya29\.[\w-]{30,400}"),
    _shape("STRIPE KEY", "k_live_ k_test_ k_prod_", r"[sr]k_(?:live|test|prod)_[A-Za-z0-9]{16,99}"),
    _shape("HUGGING FACE TOKEN", "hf_ api_org_", rf"(?:hf_|api_org_)[A-Za-z0-9]{{34,40}}{_END}"),
    _shape("NPM TOKEN", "npm_", rf"npm_[A-Za-z0-9]{{36}}{_END}"),
    _shape("PYPI TOKEN", "pypi-AgE", r"pypi-AgE[\w-]{50,1000}"),
    _shape("SENDGRID KEY", "SG.", r"SG\.[\w-]{16,32}\.[\w-]{32,64}"),
    _shape("DIGITALOCEAN TOKEN", "dop_v1_ doo_v1_ dor_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    _shape("SHOPIFY TOKEN", "shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _shape("DATABRICKS TOKEN", "dapi", rf"dapi[a-f0-9]{{32}}(?:-\d)?{_END}"),
    _shape("GRAFANA TOKEN", "glsa_ glc_", r"(?:glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|glc_[A-Za-z0-9+/]{32,400}={0,3})"),
    _shape("VAULT TOKEN", "hvs. hvb.", r"hv[sb]\.[\w-]{24,300}"),
    _shape("POSTMAN KEY", "PMAK-", r"PMAK-[a-fA-F0-9]{24}-[a-fA-F0-9]{34}"),
    _shape("LINEAR KEY", "lin_api_", r"lin_api_[A-Za-z0-9]{40}"),
    _shape("RUBYGEMS KEY", "rubygems_", r"rubygems_[a-f0-9]{48}"),
    _shape("NOTION TOKEN", "ntn_", rf"ntn_\d{{11}}[A-Za-z0-9]{{35}}{_END}"),
    _shape("SENTRY TOKEN", "sntryu_ sntrys_", r"sntry(?:u_[a-f0-9]{64}|s_eyJ[\w+/=-]{60,500})"),
    _shape("PERPLEXITY KEY", "pplx-", rf"pplx-[A-Za-z0-9]{{48}}{_END}"),
    _shape("GROQ KEY", "gsk_", rf"gsk_[A-Za-z0-9]{{52}}{_END}"),
    _shape("AGE KEY", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    _shape("1PASSWORD TOKEN", "ops_eyJ", r"ops_eyJ[A-Za-z0-9+/]{250,}={0,3}"),
    _shape("JWT", "eyJ", r"eyJ[\w-]{14,}\.eyJ[\w-]{14,}\.[\w-]{16,}"),
)  # fmt: skip
_BEGINS = tuple(begin for shape in _SHAPES for begin in shape.begins)
_BEGIN = re.compile("|".join(map(re.escape, _BEGINS)))
_SHORT_CHARS = 50
"""A text that is not longer, such as a path, is searched for all beginnings at once: an event may hold thousands."""
# The last is the subject 1234567890 of the token that jwt.io shows.
_EXAMPLE = re.compile(r"EXAMPLE|(.)\1{9}|x{6}|1234567890(?:12|ab)|abcdefghij|IxMjM0NTY3ODkw", re.IGNORECASE)
"""Values that documentation shows, such as AKIAIOSFODNN7EXAMPLE; nobody's secret."""

# With a body, so that code which only names the first line stays; its lines may be numbered, as read_file does.
_LINE = r"(?:\\n|\r?\n)[ \t]*(?:\d+[^\w\n]{1,3})?"
_LINE_END = r"(?=[ \t]*(?:\\n|\r?\n|[\"']|\Z))"
_PRIVATE_KEY = re.compile(
    rf"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:{_LINE}(?:[\w-]+: [^\n\\]*)?)*?{_LINE}[A-Za-z0-9+/=]{{24,}}"
    rf"(?:{_LINE}[A-Za-z0-9+/=]+{_LINE_END})*(?:{_LINE}-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----)?"
)

_NOT_IN_A_NAME = re.compile(r"[^\w .:/@+-]")
_KEY_END = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINE = re.compile(r"(?P<mark>[ \t]*(?:\d+[^\w\n]{1,3})?)[A-Za-z0-9+/=]{4,}\r?")


def has_shape(value: str) -> bool:
    """Return whether a value as a whole has the form of a secret; documentation's examples count too."""
    if value.startswith("-----BEGIN ") and "PRIVATE KEY" in value[:60]:
        return True
    return any(shape.pattern.fullmatch(value) for shape in _SHAPES)


def without_shapes(text: str) -> str:
    """Replace each text that has the form of a secret, and is no example, with the name of the form."""
    if "PRIVATE KEY" in text:
        text = _without_key_ends(_PRIVATE_KEY.sub(lambda found: in_place_of(found[0], "PRIVATE KEY"), text))
    if not (_BEGIN.search(text) if len(text) <= _SHORT_CHARS else any(map(text.__contains__, _BEGINS))):
        return text
    for shape in _SHAPES:
        if any(begin in text for begin in shape.begins):
            text = shape.pattern.sub(lambda found, name=shape.name: _replaced(found[0], name), text)
    return text


def in_place_of(found: str, name: str) -> str:
    """Return what stands in the place of a secret: a mark for each of its lines, so that line numbers stay right."""
    return "\n".join([mark_of(name)] * (found.count("\n") + 1))


def mark_of(name: str) -> str:
    """Return the mark of a secret; a name from a file may hold characters that end a JSON string or the mark."""
    return f"[secret {_NOT_IN_A_NAME.sub('_', name)}]"


def _replaced(found: str, name: str) -> str:
    return found if _EXAMPLE.search(found) else in_place_of(found, name)


def _without_key_ends(text: str) -> str:
    """Replace the last lines of a private key whose beginning was cut off."""
    ends = list(_KEY_END.finditer(text))
    for end in reversed(ends):
        lines = text[: end.start()].split("\n")
        at = len(lines) - 1  # the line of the END itself
        while at > 0 and _KEY_LINE.fullmatch(lines[at - 1]):
            at -= 1
        if at < len(lines) - 1:
            begin = sum(len(line) + 1 for line in lines[:at])
            text = text[:begin] + in_place_of(text[begin : end.end()], "PRIVATE KEY") + text[end.end() :]
    return text
