"""The lines that breakpoints are moved to, for the places at which a model sets them."""

from __future__ import annotations

import pytest

from agent import ToolError
from tools._debug_breakpoints import line_with_code

SOURCE = '''\
"""Says what it does."""

import json


class Reader:
    """Reads."""

    limit = 3

    def read(self, text):
        """Return the values."""
        # an empty text has none

        if not text:
            return []
        else:
            found = json.loads(
                text,
                parse_int=None,
            )
        return found

    # the end


def later():
    pass

# nothing follows
'''


@pytest.mark.parametrize(
    ("line", "moved"),
    [
        (15, 15),
        (2, 3),  # an empty line
        (13, 15),  # a comment
        (12, 15),  # the docstring of a function
        (17, 18),  # else
        (21, 18),  # the closing bracket of a call
        (24, 27),  # below the last function of a class
        (30, 28),  # below all code
    ],
)
def test_a_line_without_code_is_moved_to_the_nearest_that_has_code(line: int, moved: int):
    assert line_with_code("reader.py", SOURCE, line) == moved


def test_a_line_at_the_end_of_a_function_stays_in_it():
    source = (
        "def first():\n    x = [\n        1\n    ]\n    if x:\n        pass\n    # end\n\n\ndef second():\n    pass\n"
    )
    assert line_with_code("a.py", source, 7) == 10
    assert line_with_code("a.py", "def first():\n    '''Text\n\n    more.'''\n    return 1\n", 3) == 5


def test_a_file_that_this_python_cannot_parse_is_left_to_the_debugger():
    assert line_with_code("a.py", "match x\n\n# c\n", 2) == 2


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("x = 1\n# end\n", 9, '"a.py" has 2 lines; line 9 is past the end. The last line with code is 1.'),
        ("# only words\n", 1, '"a.py" has no code. Set the breakpoint in another file.'),
    ],
)
def test_a_line_that_cannot_be_moved_is_refused(source: str, line: int, message: str):
    with pytest.raises(ToolError) as raised:
        line_with_code("a.py", source, line)
    assert str(raised.value) == message
