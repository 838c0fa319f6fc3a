"""Every emitted vLLM flag against the parser of the installed vLLM."""

import itertools
import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serving.capacity.catalogue import SMALL
from serving.capacity.planner import plan
from serving.capacity.sizing import PlanOptions
from serving.doctor.symptom_index import VLLM
from serving.engines import engine_command
from serving.engines.command import EngineCommand, Flag, ServeOptions
from serving.readiness.interpreter import cpu_python
from serving.readiness.versions import installed_versions, version_problems

pytestmark = pytest.mark.engine

# Reads one command line per line and answers each with the result of vLLM's own parser and validation. The module has
# had three locations: 0.32, 0.33, and before.
PARSE_SCRIPT = """
import contextlib, importlib, io, json, sys
from dataclasses import asdict, is_dataclass
from vllm.utils.argparse_utils import FlexibleArgumentParser
for package in ("launchers", "common", "openai"):
    try:
        args = importlib.import_module(f"vllm.entrypoints.{package}.cli_args")
        break
    except ModuleNotFoundError:
        continue
parser = args.make_arg_parser(FlexibleArgumentParser(prog="vllm serve"))
for line in sys.stdin:
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output):
            found = parser.parse_args(json.loads(line))
            args.validate_parsed_serve_args(found)
    except SystemExit:
        answer = {"refused": output.getvalue().splitlines()[-1]}
    except TypeError as error:
        answer = {"refused": str(error)}
    else:
        plain = lambda value: asdict(value) if is_dataclass(value) else str(value)
        answer = {name: json.loads(json.dumps(value, default=plain)) for name, value in vars(found).items()}
    print("ANSWER " + json.dumps(answer), flush=True)
"""

POCKET: dict[str, Any] = {
    "model": "pocket",
    "gpus": "cpu",
    "max_model_len": 8192,
    "max_num_seqs": 8,
    "enforce_eager": True,
    "kv_cache_memory_bytes": 2**28,
}

SHAPES: list[dict[str, Any]] = [
    {"gpus": gpus, "draft": draft, "kv_cache_dtype": dtype, "language_model_only": text_only, "max_model_len": length}
    for gpus, draft, dtype, text_only, length in itertools.product(
        ["h100:4", "b200:8"], [None, "eagle"], ["auto", "fp8"], [False, True], [32768, 262144]
    )
] + [
    {"gpus": "h200:1", "model": SMALL, "weights": "fp8", "max_model_len": 65536, "enforce_eager": True},
    {"gpus": "h200:2", "kv_cache_memory_bytes": 10_000_000_000, "block_size": 128, "max_model_len": 8192},
    {"gpus": "h200:2", "kv_offloading_size": 200.0, "max_model_len": 8192},
    {"gpus": "h200:8", "gpu_memory_utilization": 0.8, "max_num_batched_tokens": 8192, "max_num_seqs": 7},
    POCKET,
]
OPTIONS = (
    ServeOptions(),
    ServeOptions(host="::1", port=9000, served_model_name="medium"),
    ServeOptions(host="0.0.0.0", api_key_file=Path("/keys/key")),
)


def commands() -> list[EngineCommand]:
    return [engine_command(plan(PlanOptions(**shape)), options) for shape in SHAPES for options in OPTIONS]


def argv(command: EngineCommand) -> list[str]:
    return [*command.program[2:], *command.arguments]


@pytest.fixture(scope="module")
def python() -> Path:
    return cpu_python(os.environ, print)


@pytest.fixture(scope="module")
def parse(python: Path) -> Iterator[Any]:
    """Yield a function that parses command lines; vLLM is imported once for all of them."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(
        [str(python), "-P", "-c", PARSE_SCRIPT],
        env=environment | {"DO_NOT_TRACK": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parser:
        assert parser.stdin is not None
        assert parser.stdout is not None
        asked, told = parser.stdin, parser.stdout

        def run(lines: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
            return [parsed(line) for line in lines]

        def parsed(line: Sequence[str]) -> dict[str, Any]:
            asked.write(f"{json.dumps(list(line))}\n")
            asked.flush()
            answer = next((text for text in told if text.startswith("ANSWER ")), "")
            assert answer, "the parser ended, see its error output"
            return json.loads(answer.removeprefix("ANSWER "))

        yield run
        asked.close()


def expected(flag: Flag) -> dict[str, Any]:
    """Return what vLLM should parse a flag into: its name with underscores, and the value in its type."""
    name = flag.words[0].removeprefix("--").replace("-", "_")
    if len(flag.words) == 1:
        return {name: True}
    (value,) = flag.words[1:]
    if name == "served_model_name":
        return {name: [value]}
    try:
        return {name: json.loads(value)}
    except ValueError:
        return {name: value}


def test_every_emitted_command_line_is_accepted_and_parsed_into_the_expected_values(parse: Any):
    made = commands()

    for command, found in zip(made, parse([argv(command) for command in made]), strict=True):
        assert "refused" not in found, (argv(command), found)
        assert found["model_tag"] == command.program[2]
        for flag in command.flags:
            ((name, value),) = expected(flag).items()
            taken = found[name]
            if name == "structured_outputs_config":
                # vLLM adds defaults for the other fields.
                taken = {key: taken[key] for key in value}
            assert taken == value, flag
        assert found["trust_remote_code"] is False
        assert found["api_key"] is None


def test_options_without_a_flag_keep_vllms_defaults(parse: Any):
    command = engine_command(plan(PlanOptions(gpus="h100:4", max_model_len=32768)), ServeOptions())

    ours, bare = parse([argv(command), ["serve-nothing"]])

    given = {name for flag in command.flags for name in expected(flag)}
    changed = {name for name in bare if ours[name] != bare[name]}
    # The port is vLLM's default, too.
    assert changed == {*given, "model_tag"} - {"port"}


def test_the_parser_refuses_unknown_flags_and_values(parse: Any):
    good = argv(engine_command(plan(PlanOptions(gpus="h100:4", max_model_len=32768)), ServeOptions()))
    lines = [
        [*good, "--max-model-length", "8192"],
        [*good, "--kv-cache-dtype", "fp7"],
        [*good, "--speculative-config", "{broken"],
        ["m", "--enable-auto-tool-choice"],
    ]

    refusals = [answer["refused"] for answer in parse(lines)]

    assert "unrecognized arguments: --max-model-length 8192" in refusals[0]
    assert "argument --kv-cache-dtype: invalid choice: 'fp7'" in refusals[1]
    assert "argument --speculative-config" in refusals[2]
    assert "--enable-auto-tool-choice requires --tool-call-parser" in refusals[3]


def test_every_flag_the_doctor_suggests_exists_in_vllm(python: Path):
    listed = subprocess.run(
        [str(python), "-P", "-m", "vllm.entrypoints.cli.main", "serve", "--help=all"],
        env={**os.environ, "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    options = frozenset(re.findall(r"--[a-z][a-z0-9-]*", listed))
    # New in 0.33.0, as the fix says.
    assert frozenset(VLLM.flags) - options <= {"--reasoning-effort-map"}


def test_the_installed_versions_have_no_known_problems(python: Path):
    found = installed_versions(python)

    assert version_problems(found, replace(commands()[0], uses=frozenset({"mistral_parser", "draft"}))) == ()
