"""How the build renames imports for the wheel, and what it refuses to rename."""

from __future__ import annotations

import pytest

from agent.import_names import rewrite_imports

RENAMED = {
    "from agent import tool\n": "from tramontane import tool\n",
    "from serving.capacity import plan": "from tramontane.serving.capacity import plan",
    "if True:\n    from tools.files import (\n        read_file,\n    )\n": (
        "if True:\n    from tramontane.tools.files import (\n        read_file,\n    )\n"
    ),
    "x = 1; from  agent.errors import AgentError as E": "x = 1; from tramontane.errors import AgentError as E",
}
KEPT = [
    '"""Docs say: from agent import tool."""\n',
    'hint = """\nfrom agent import tool\n"""\n',
    "from . import agent\nfrom .agent import Agent\nfrom .tools.x import y\n",
    "from agents import tool\nfrom toolset import tools\nimport json\nimport agents\n",
]


@pytest.mark.parametrize(("source", "renamed"), RENAMED.items())
def test_an_absolute_import_gets_the_name_in_the_wheel(source: str, renamed: str):
    assert rewrite_imports(source) == renamed


@pytest.mark.parametrize("source", KEPT)
def test_text_relative_imports_and_other_packages_stay(source: str):
    assert rewrite_imports(source) == source


@pytest.mark.parametrize("line", ["import agent", "import json, tools.files", "import serving as s"])
def test_an_import_that_binds_the_old_name_stops_the_build(line: str):
    with pytest.raises(ValueError, match=rf"^line 2: a wheel cannot rename '{line}'\. Write from \.\.\. import\.$"):
        rewrite_imports(f"x = 1\n{line}\n")
