"""What runners read of settings that they share with other programs is told from the rest, however it is written."""

from __future__ import annotations

import pytest

from agent.workspace.verify_settings import loaded_part

PROJECT = '[project]\nname = "x"\n'
CHEAT = 'addopts = "--collect-only"\n'


@pytest.mark.parametrize(
    "added",
    [
        f"  [tool.pytest.ini_options]\n{CHEAT}",
        f'["tool".pytest.ini_options]\n{CHEAT}',
        f"[tool . 'pytest' . ini_options]\n{CHEAT}",
        f"[tool]\npytest.ini_options.{CHEAT}",
        '[tool]\npytest = {ini_options = {addopts = "--collect-only"}}\n',
        f"[tool.ruff]\n\t[tool.coverage.run]\n{CHEAT}",
        f'[tool."\\u0070ytest"]\n{CHEAT}',
    ],
)
def test_settings_of_a_runner_count_in_each_spelling_of_toml(added: str):
    assert loaded_part("pyproject.toml", f"{PROJECT}{added}".encode()) is not None


def test_dotted_keys_above_all_tables_count():
    text = f"tool.pytest.ini_options.{CHEAT}{PROJECT}"
    assert loaded_part("pyproject.toml", text.encode()) is not None


@pytest.mark.parametrize(
    "content",
    [
        b'x = "\xff"\n', b"x = \n[tool.ruff]\n", b"a = " + b"[" * 100_000, b"x = 1" + b"0" * 5000, b"a." * 5000,
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_parsed_counts_as_a_whole(content: bytes):
    assert loaded_part("pyproject.toml", content) == content


def test_another_part_order_or_spelling_of_toml_is_no_change():
    first = f"{PROJECT}[tool.pytest.ini_options]\n{CHEAT}minversion = '9'\n".encode()
    other = f"[tool]\npytest.ini_options.minversion = '9'\npytest.ini_options.{CHEAT}[tool.ruff]\nday = 2026-01-01\n"
    assert loaded_part("pyproject.toml", first) == loaded_part("pyproject.toml", other.encode())
    assert loaded_part("pyproject.toml", b"[tool.ruff]\nline-length = 120\n") is None


METADATA = "[metadata]\nname = app\n"


@pytest.mark.parametrize(
    "added",
    [
        "[tool:pytest]\naddopts = -k nothing\n",
        "[testenv]\ncommands = true\n",
        "[DEFAULT]\nplugins = evil\n[coverage:run]\n",
        "  [coverage:run]\nplugins = evil\n",
        "[tool:pytest]\n[x = y\naddopts = -k nothing\n",
        "[tool:pytest]\n  [metadata]\naddopts = -k nothing\n",
        "[tool:pytest]\n[metadata] x = y\naddopts = -k nothing\n",
        "x = y\x0c[tool:pytest]\naddopts = -k nothing\n",
        "x = y\r[coverage:run]\nplugins = evil\n",
        "[coverage:run]\nx = y\u2028[metadata]\nplugins = evil\n",
        "x = {[metadata]name}\n",
    ],
)
def test_sections_of_a_runner_count_in_each_way_that_a_parser_takes_them(added: str):
    found = loaded_part("setup.cfg", f"{METADATA}{added}".encode())
    assert found is not None
    last = added.splitlines()[-1]
    assert last.encode() in found


def test_other_sections_of_setup_cfg_and_their_continued_values_count_for_nothing():
    text = f"{METADATA}description =\n    several lines\n\n    # of it\n[options] ; more\ninstall_requires = x[extra]\n"
    assert loaded_part("setup.cfg", text.encode()) is None
    assert loaded_part("setup.cfg", text.replace("\n", "\r\n").encode()) is None
