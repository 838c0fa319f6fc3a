"""Every emitted vLLM flag, held against the parser of the vLLM that is installed; and a key, against a running one."""

import itertools
import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serving import Engine
from serving.capacity.catalogue import SMALL
from serving.capacity.planner import plan
from serving.capacity.sizing import PlanOptions
from serving.doctor.symptom_index import VLLM
from serving.engines import engine_command
from serving.engines.command import EngineCommand, Flag, ServeOptions
from serving.readiness.interpreter import cpu_python
from serving.readiness.versions import installed_versions, version_problems
from serving.running.marks import find_marked
from serving.running.process_group import free_port

pytestmark = pytest.mark.engine

# Reads one command line a line, answers with what vLLM's own parser and its own check make of it. The module has had
# three places: 0.32, 0.33, and before.
JUDGE = """
import contextlib, importlib, io, json, sys
from dataclasses import asdict, is_dataclass
from vllm.utils.argparse_utils import FlexibleArgumentParser
for place in ("launchers", "common", "openai"):
    try:
        args = importlib.import_module(f"vllm.entrypoints.{place}.cli_args")
        break
    except ModuleNotFoundError:
        continue
parser = args.make_arg_parser(FlexibleArgumentParser(prog="vllm serve"))
answers = []
for line in sys.stdin:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            found = parser.parse_args(json.loads(line))
            args.validate_parsed_serve_args(found)
    except SystemExit:
        answers.append({"refused": said.getvalue().splitlines()[-1]})
    except TypeError as error:
        answers.append({"refused": str(error)})
    else:
        plain = lambda value: asdict(value) if is_dataclass(value) else str(value)
        answers.append({name: json.loads(json.dumps(value, default=plain)) for name, value in vars(found).items()})
print("ANSWERS " + json.dumps(answers))
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
def judge(python: Path) -> Any:
    def asked(lines: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [str(python), "-P", "-c", JUDGE],
            input="".join(json.dumps(list(line)) + "\n" for line in lines),
            env=environment | {"DO_NOT_TRACK": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.rpartition("ANSWERS ")[2])

    return asked


def meant(flag: Flag) -> dict[str, Any]:
    """Say what a flag is to become in vLLM: its own name with underscores, and the value in its type."""
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


def test_every_emitted_command_line_is_accepted_and_means_what_we_meant(judge: Any):
    made = commands()

    for command, found in zip(made, judge([argv(command) for command in made]), strict=True):
        assert "refused" not in found, (argv(command), found)
        assert found["model_tag"] == command.program[2]
        for flag in command.flags:
            ((name, value),) = meant(flag).items()
            taken = found[name]
            if name == "structured_outputs_config":
                # vLLM fills in the rest of the record.
                taken = {key: taken[key] for key in value}
            assert taken == value, flag
        assert found["trust_remote_code"] is False
        assert found["api_key"] is None


def test_what_is_not_given_stays_what_vllm_makes_of_nothing(judge: Any):
    command = engine_command(plan(PlanOptions(gpus="h100:4", max_model_len=32768)), ServeOptions())

    ours, bare = judge([argv(command), ["serve-nothing"]])

    given = {name for flag in command.flags for name in meant(flag)}
    changed = {name for name in bare if ours[name] != bare[name]}
    # The port is vLLM's own, too.
    assert changed == {*given, "model_tag"} - {"port"}


def test_the_parser_refuses_what_it_does_not_know(judge: Any):
    good = argv(engine_command(plan(PlanOptions(gpus="h100:4", max_model_len=32768)), ServeOptions()))
    lines = [
        [*good, "--max-model-length", "8192"],
        [*good, "--kv-cache-dtype", "fp7"],
        [*good, "--speculative-config", "{broken"],
        ["m", "--enable-auto-tool-choice"],
    ]

    refusals = [answer["refused"] for answer in judge(lines)]

    assert "unrecognized arguments: --max-model-length 8192" in refusals[0]
    assert "argument --kv-cache-dtype: invalid choice: 'fp7'" in refusals[1]
    assert "argument --speculative-config" in refusals[2]
    assert "--enable-auto-tool-choice requires --tool-call-parser" in refusals[3]


def test_the_doctor_names_no_flag_that_vllm_does_not_have(python: Path):
    listed = subprocess.run(
        [str(python), "-P", "-m", "vllm.entrypoints.cli.main", "serve", "--help=all"],
        env={**os.environ, "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    options = frozenset(re.findall(r"--[a-z][a-z0-9-]*", listed))
    # New in 0.33.0, and the advice says so.
    assert frozenset(VLLM.flags) - options <= {"--reasoning-effort-map"}


def test_nothing_is_known_against_the_versions_that_are_installed(python: Path):
    found = installed_versions(python)

    assert version_problems(found, replace(commands()[0], uses=frozenset({"mistral_parser", "draft"}))) == ()


def test_a_key_guards_the_requests_and_stands_neither_in_arguments_nor_in_log_nor_in_record(
    python: Path, tmp_path: Path
):
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text("sk-0123456789abcdef\n")
    options = ServeOptions(port=free_port(), served_model_name="pocket", api_key_file=key)
    chat = {"model": "pocket", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    with Engine(plan(PlanOptions(**POCKET)), options=options, python=python, environ=environ) as engine:
        record = engine.start()
        root = record.base_url.removesuffix("/v1")

        assert status(f"{root}/v1/models") == 401
        assert status(f"{root}/v1/models", key="sk-0123456789abcdef") == 200
        assert status(f"{root}/v1/chat/completions", chat) == 401
        assert status(f"{root}/health") == 200
        # vLLM's own limit, which the reason of the variable tells: this route serves the model to whoever asks.
        assert status(f"{root}/invocations", chat) == 200

        processes = find_marked(record.mark)
        assert len(processes) >= 2
        seen = [(Path("/proc") / str(process.pid) / "cmdline").read_bytes() for process in processes]
        seen += [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file() and file != key]
        assert not any(b"0123456789abcdef" in text for text in seen)


def status(url: str, body: Mapping[str, Any] | None = None, *, key: str | None = None) -> int:
    request = urllib.request.Request(
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"} | ({} if key is None else {"Authorization": f"Bearer {key}"}),
    )
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
