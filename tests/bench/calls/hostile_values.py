"""Hostile values: odd numbers, texts, raw strings, quotes that are not escaped, keys; data only."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from calls.values import Json

_BIG = "123456789012345678901234567890"
NUMBERS = (
    *("0", "-0", "-0.0", "3.0", "1e3", "1E3", "1e-2", "1.50", "1.10", "0.1", "100", "5.0000000000000001"),
    *("4.9999999999999999", "9007199254740992", "9007199254740993", "9007199254740993.0", "-9007199254740993.0"),
    *("9007199254740993e0", "900719925474099.3e1", "12345678901234567.89", "0.1234567890123456789", _BIG, f"{_BIG}.0"),
    *("1e22", "1e23", "1e300", "1e400", "-1e400", "1e-400", "123e-2", "1" + "0" * 400, "1" * 4400, "2026", "20261128"),
    *("3.141592653589793", "3.141592653589793238462643", "2.50e1", "4915112345678", "1700000000.123456789"),
)
"""Numbers of JSON's grammar."""
OTHER_NUMBERS: Mapping[str, Json] = {
    "+5": 5,
    "+4915112345678": 4915112345678,
    "+1.50": Decimal("1.50"),
    "0x1F": 31,
    "0X10": 16,
    "1_000": 1000,
    "1_000.50": Decimal("1000.50"),
    ".5": Decimal("0.5"),
    "-.5": Decimal("-0.5"),
    "5.": 5,
    "+0": 0,
}
"""Numbers that JSON does not know, and the only number that each can mean."""
NO_NUMBERS = (
    "007",
    "1,000",
    "1.000,50",
    "1 000",
    "0b101",
    "0o17",
    "1e",
    "१२",
    "٣",
    "５",
    "½",
    "5%",
    "1/2",
    "--5",
    "1__0",
)
"""Bare words that mean no number for certain."""
NUMERIC_TEXTS = (
    *(
        "5",
        "-5",
        "+5",
        " 5",
        "5 ",
        "5.0",
        "5.5",
        "1e3",
        "0x1F",
        "1_000",
        "1,000",
        "007",
        "٣",
        "５",
        "",
        " ",
        "5\n",
        "NaN",
    ),
    *("9007199254740993", "9007199254740993.0", "12345678901234567.89", _BIG, "1e400", "five", "5 km", "0.10", "-0"),
)
"""Texts that hold numbers, or nearly."""
TEXTS = (
    *(
        "null",
        "true",
        "None",
        "[]",
        "{}",
        '{"a": 1}',
        "[1, 2]",
        '"',
        '""',
        "'",
        "\\",
        "\\\\",
        "\\n",
        "\n",
        "\t",
        "\r\n",
    ),
    *(
        "\u2028",
        "\u00a0",
        "\ufeff",
        "\x7f",
        "\u0000",
        "\x1b[0m",
        "é",
        "e\u0301",
        "\U0001f469\u200d\U0001f4bb",
        "\ue000",
    ),
    *(
        "C:\\temp\\new",
        "C:\\\\temp",
        "\\d+\\.\\d*",
        "a/b",
        "</s>",
        "[TOOL_CALLS]",
        "</tool_call>",
        "```",
        "```json\n{}\n```",
    ),
    *("2026-11-28", "2026-11-28T12:00:00Z", "12:30", "P1D", "1.50", "+4915112345678", "0x1F", "1_000", "007", "1e3"),
    *("NaN", "Infinity", "-", "$.a", "#/x", "a,b", "a: b", "//not a comment", "/* nor this */", "# nor this", "  x  "),
    *(
        "x" * 20_000,
        '"' * 200,
        "\\" * 201,
        "{" * 300,
        '", "b": "c',
        "}, {",
        '"}',
        '\\"}',
        "\\u0041",
        "%s %(a)s {0}",
        "🙂" * 50,
    ),
)
"""Texts that must arrive exactly; sent with proper escapes."""
RAW_STRINGS: Mapping[str, tuple[str, ...]] = {
    '"line\nbreak"': ("line\nbreak",),
    '"tab\there"': ("tab\there",),
    '"bell\x07"': ("bell\x07",),
    r'"C:\Users\me"': ("C:\\Users\\me",),
    r'"C:\temp\new"': ("C:\\temp\\new", "C:\temp\new"),
    r'"\d+\.\d*"': ("\\d+\\.\\d*",),
    r'"\d+\n"': (),
    r'"\x41"': ("\\x41",),
    r'"\u00"': (),
    r'"\ud800"': (),
    r'"\ud83d\ude42"': ("🙂",),
    r'"it\'s"': ("it's",),
    r'"a\/b"': ("a/b",),
    r'"a\"b"': ('a"b',),
    r'"\u0000"': ("\u0000",),
    "'single'": ("single",),
    "'it''s'": (),
    "“typographic”": ("typographic",),
    "`back ticks`": (),
    '"""triple"""': (),
    'r"raw"': (),
    'f"{x}"': (),
    "bare": (),
    "bare words": (),
    '"a" + "b"': (),
    '"a" "b"': (),
    '"a"\n"b"': (),
    "True": (),
    "None": (),
    "nil": (),
    "2026-11-28": (),
    "12:30": (),
    "1.2.3": (),
}
"""Strings as models write them: raw JSON text, and the texts that it may mean."""
QUOTED = (
    *('say "hi"', 'say "hi" to', '"quoted"', 'a "b" c "d"', '5" pipe', 'he said "x", then "y"', 'x", "', '","', '": "'),
    *('print("a", "b")', '{"a": "b"}', '["a", "b"]', '<a href="x">', 'f("x")}', 'a"b', '"', 'ends with "', '" begins'),
    *('"a": 1', 'x", "note": "y', 'x"}', 'key="value",', 'the "end"}', 'WHERE a = "b" AND c = "d"', "'\"'", 'a""b'),
)
"""Texts whose quotes a model forgot to escape."""
BAD_KEYS = (
    r'"pho\une"',
    r'"\u00"',
    r'"\x41"',
    r'"a\qb"',
    '"a\nb"',
    r'"\ud800"',
    '"a"b"',
    "'a\"b'",
    '"',
    '""',
    "5",
    "-",
    "a b",
)
"""Keys as raw text; none is a parameter."""
DEEP = (
    *("[" * 5000, '{"a":' * 5000, '"' * 5000, '{"a":"' * 400, "\\" * 5000, "{" * 150 + "}" * 150),
    "[" * 150 + "]" * 150 + "}",
)
"""Texts that are deep, long, or both; none holds a call."""
