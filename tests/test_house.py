"""Rules of this repository that no linter checks: module sizes, the public API, light imports, the tree of errors."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import agent
import serving
from agent import errors

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for folder in ("agent", "tools", "serving") for path in (ROOT / folder).rglob("*.py"))
API = ROOT / "tests" / "data" / "public_api.txt"
LONGEST_MODULE = 300
# Waivers for the linters and the type checker in the shipped code; the number may only fall.
MOST_WAIVERS = 10


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_begins_with_a_sentence_about_what_it_does(path: Path):
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    first_paragraph = docstring.split("\n\n")[0]
    assert path.read_text().startswith(('"""', 'r"""', "#!"))
    assert first_paragraph.endswith((".", ":")), first_paragraph


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_is_not_too_long(path: Path):
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE


def test_the_number_of_waivers_only_falls():
    waiver = re.compile(r"#\s*(noqa|type:\s*ignore|pyright:\s*ignore)")
    lines = [line for path in SOURCES for line in path.read_text().splitlines() if waiver.search(line)]
    assert len(lines) <= MOST_WAIVERS, "\n".join(lines)
    assert all(re.search(r"(noqa|ignore)(: |\[)\S+.* - \S", line) for line in lines), "each waiver gives its reason"


def test_public_names_are_sorted_and_none_is_named_like_a_module():
    modules = {path.stem for path in (ROOT / "agent").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert sorted(agent.__all__) == agent.__all__
    assert not modules & set(agent.__all__)


def test_every_public_name_can_be_loaded_and_no_other():
    for name in agent.__all__:
        assert getattr(agent, name) is not None
    with pytest.raises(AttributeError, match=r"^module 'agent' has no attribute 'Registry'$"):
        getattr(agent, "Regis" + "try")


def public_api() -> str:
    """Return every public name of agent and serving; those of serving have its prefix."""
    return names_of(agent, "") + names_of(serving, "serving.")


def names_of(package: ModuleType, prefix: str) -> str:
    lines: list[str] = []
    for name in package.__all__:
        value = getattr(package, name)
        plain_error = inspect.isclass(value) and issubclass(value, Exception) and "__init__" not in vars(value)
        lines.append(f"{name}(*args)" if plain_error else f"{name}{inspect.signature(value)}")
        if inspect.isclass(value):
            methods = inspect.getmembers(value, lambda item: inspect.isfunction(item) or inspect.ismethod(item))
            lines += [f"{name}.{key}{inspect.signature(item)}" for key, item in methods if not key.startswith("_")]
    return "".join(f"{prefix}{re.sub('0x[0-9a-f]+|<factory>', '...', line)}\n" for line in lines)


def test_the_public_api_is_the_recorded_one():
    """If a change is intended, record it: python tests/test_house.py."""
    assert public_api() == API.read_text()


def loaded_by(code: str, folder: Path) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after running the code in a folder."""
    script = f"{code}\nimport sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return set(found.stdout.split())


def test_import_agent_is_light(tmp_path: Path):
    loaded = loaded_by("import agent", tmp_path)
    heavy = {"tools", "serving", "vllm", "torch", "openai", "httpx2", "pydantic", "jsonschema", "yaml", "agent.cli"}
    assert not loaded & heavy


def test_naming_the_agent_loads_nothing_of_a_run(tmp_path: Path):
    """Half a second went by before a program that imports `Agent` could do anything else."""
    loaded = loaded_by("import agent; agent.Agent", tmp_path)
    assert not loaded & {"pydantic", "asyncio", "agent.given", "agent.starting", "agent.task", "agent.loop"}


def test_making_an_agent_loads_what_would_else_be_loaded_in_the_event_loop(tmp_path: Path):
    loaded = loaded_by("from agent import Agent\nAgent('http://127.0.0.1:1/v1')", tmp_path)
    assert {"agent.starting", "agent.loop.run", "agent.tooling.execute"} <= loaded


def test_import_serving_is_light(tmp_path: Path):
    loaded = loaded_by("import serving; serving.current_server", tmp_path)
    assert not loaded & {"agent", "tools", "yaml", "pynvml", "prometheus_client", "serving.engine", "serving.doctor"}


def test_an_agent_is_built_without_loading_the_engine_the_client_or_the_command_line(tmp_path: Path):
    code = "from agent import Agent, Endpoint, tool\nAgent(Endpoint('http://127.0.0.1:1/v1'))"
    heavy = {"tools", "serving", "vllm", "torch", "openai", "httpx2", "jsonschema", "agent.cli"}
    assert not loaded_by(code, tmp_path) & heavy


def test_help_loads_nothing_heavy(tmp_path: Path):
    code = (
        "import contextlib, io\nfrom agent.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    main(['run', '--help'])"
    )
    loaded = loaded_by(code, tmp_path)
    assert "agent.cli.run" in loaded
    assert not loaded & {"tools", "serving", "openai", "httpx2", "pydantic", "jsonschema", "yaml", "asyncio"}


def test_a_script_beside_its_own_tools_module_can_import_agent_and_run(tmp_path: Path):
    (tmp_path / "tools.py").write_text(
        "from agent import tool\n\n@tool\ndef shout(text: str) -> str:\n"
        '    """Say it louder."""\n    return text.upper()\n'
    )
    (tmp_path / "main.py").write_text(
        "from agent import Agent\nfrom agent.testing import ScriptedModel, calls, says\nfrom tools import shout\n"
        "model = ScriptedModel([calls(('shout', {'text': 'hi'})), says('done')])\n"
        "outcome = Agent(model, tools=[shout]).run_sync('Shout hi.')\n"
        "print(outcome.status, outcome.messages[3].content)\n"
    )
    found = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (found.stdout, found.stderr) == ("finished HI\n", "")


def subclasses(base: type) -> list[type]:
    return [kind for child in base.__subclasses__() for kind in (child, *subclasses(child))]


def test_every_error_is_in_the_documented_tree_and_tested():
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path.name != "test_house.py")
    for kind in subclasses(errors.AgentError):
        if kind.__module__ == "agent.errors":
            assert kind.__name__ in (errors.__doc__ or "")
        has_subclasses = bool(kind.__subclasses__())
        assert has_subclasses or kind.__name__ in tests, kind


def test_no_example_shadows_a_package():
    assert not {"agent.py", "tools.py", "serving.py"} & {path.name for path in (ROOT / "examples").iterdir()}


if __name__ == "__main__":
    API.parent.mkdir(exist_ok=True)
    API.write_text(public_api())
