"""Test that rendered files are valid for their programs, match the engine's command exactly, and contain no secret."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes_validate import validate as validate_manifest  # pyright: ignore[reportMissingTypeStubs] - untyped
from vllm_router.launch_router import parse_router_args  # pyright: ignore[reportMissingTypeStubs] - untyped

from agent import Agent, Endpoint, tool
from agent.model.profiles import MISTRAL
from agent.model.wire import Request
from agent.testing import Received, ScriptedServer, says
from serving import EngineError
from serving.capacity.planner import plan
from serving.capacity.sizing import Change, Plan, PlanOptions
from serving.deploy import DeployOptions, Policy, Target, render
from serving.deploy.records import Place
from serving.deploy.routing import MODULE, router_flags
from serving.engines import engine_command
from serving.engines.command import ServeOptions
from serving.running.process_group import free_port

KEY = Path("/etc/tramontane/api key")
MEDIUM = plan(PlanOptions(gpus="h100:8", tensor_parallel_size=4, max_model_len=32768, draft="eagle"))
TARGETS: tuple[Target, ...] = get_args(Target)
ODD_NAMES = st.text(
    st.characters(exclude_categories=("C", "Z"), include_characters=" $%\\\"'`#{}&*!|>:-"), min_size=1, max_size=20
)


def options(target: Target, **settings: Any) -> DeployOptions:
    return DeployOptions(api_key_file=None if target == "ray" else KEY, **settings)


def rendered(target: Target, wanted: Plan = MEDIUM, **settings: Any) -> dict[str, str]:
    deployment = render(target, wanted, options(target, **settings))
    return {str(file.path): file.text for file in deployment.files}


def command(wanted: Plan, *, host: str, port: int, **settings: Any) -> tuple[list[str], dict[str, str]]:
    """Return the words of the planned engine's command and its variables, except secret ones."""
    made = engine_command(wanted, ServeOptions(host=host, port=port, **settings))
    variables = {variable.name: variable.value for variable in made.environment if variable.secret_file is None}
    return [*made.program, *made.arguments], variables


def named(wanted: Plan, name: str) -> Plan:
    """Return the plan with another model name; the draft gets a folder name based on it."""
    assert wanted.request.draft is not None
    request = replace(
        wanted.request,
        model=replace(wanted.request.model, name=name, title=name),
        draft=replace(wanted.request.draft, name=name + "-draft"),
    )
    return replace(wanted, request=request)


# What a container receives after Compose or Kubernetes has expanded variables.


def undouble_dollars(value: str) -> str:
    assert not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", value), f"a variable would be expanded in {value!r}"
    return value.replace("$$", "$")


def run_wrapped(entry: Sequence[str], words: Sequence[str], folder: Path) -> tuple[list[str], str]:
    """Run the shell that reads the secrets, with a fake engine; return the engine's arguments and its key."""
    script = [word.replace("/run/secrets", str(folder)) for word in entry]
    (folder / "VLLM_API_KEY").write_text("the-key\n")
    show = [sys.executable, "-c", "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ['VLLM_API_KEY']]))"]
    found = subprocess.run([*script, *show, *words], capture_output=True, text=True, check=True)
    arguments, key = json.loads(found.stdout)
    return arguments, key


# Docker Compose.


def test_the_compose_file_is_valid_by_the_compose_schema(tmp_path: Path):
    folder = Path("/srv/we ights/$HOME")
    for name in ("plain", "of a folder"):
        wanted = MEDIUM if name == "plain" else named(MEDIUM, str(folder))
        (tmp_path / "compose.yaml").write_text(rendered("compose", wanted)["compose.yaml"])
        result = subprocess.run(
            [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (result.returncode, result.stdout) == (0, "ok -- validation done\n"), result.stdout


def test_a_compose_deployment_has_two_engines_with_their_gpus_and_one_published_port():
    files = rendered("compose")
    assert list(files) == ["compose.yaml", "Dockerfile.engine", "Dockerfile.router"]
    data = yaml.safe_load(files["compose.yaml"])
    services = data["services"]
    assert list(services) == ["engine-0", "engine-1", "router"]
    devices = [services[name]["deploy"]["resources"]["reservations"]["devices"] for name in ("engine-0", "engine-1")]
    assert devices == [
        [{"driver": "nvidia", "device_ids": ["0", "1", "2", "3"], "capabilities": ["gpu"]}],
        [{"driver": "nvidia", "device_ids": ["4", "5", "6", "7"], "capabilities": ["gpu"]}],
    ]
    assert {name: service.get("ports") for name, service in services.items()} == {
        "engine-0": None,
        "engine-1": None,
        "router": ["127.0.0.1:30000:30000"],
    }
    assert data["secrets"] == {"VLLM_API_KEY": {"file": "/etc/tramontane/api key"}}
    assert services["engine-1"]["secrets"] == ["VLLM_API_KEY"]
    assert services["router"]["command"] == [
        *("--host", "0.0.0.0", "--port", "30000"),
        *("--worker-urls", "http://engine-0:8000", "http://engine-1:8000"),
        *("--policy", "sticky_least_loaded", "--retry-max-retries", "5", "--cb-failure-threshold", "4"),
        *("--cb-timeout-duration-secs", "10", "--health-check-interval-secs", "10", "--health-failure-threshold", "2"),
        *("--worker-startup-timeout-secs", "5400", "--worker-startup-check-interval", "5"),
    ]


@settings(max_examples=30)  # reading YAML is slow
@given(name=ODD_NAMES)
def test_a_compose_service_runs_the_planned_command_whatever_the_model_name(name: str):
    wanted = named(MEDIUM, f"/models/{name}")
    data = yaml.safe_load(rendered("compose", wanted)["compose.yaml"])
    service = data["services"]["engine-0"]
    words, variables = command(wanted, host="0.0.0.0", port=8000, api_key_file=KEY)
    assert [undouble_dollars(word) for word in service["command"]] == words
    assert {key: undouble_dollars(value) for key, value in service["environment"].items()} == variables
    mounts = [mount for mount in service["volumes"] if isinstance(mount, dict)]
    assert [undouble_dollars(mount["source"]) for mount in mounts] == [f"/models/{name}", f"/models/{name}-draft"]
    assert [mount["target"] for mount in mounts] == [mount["source"] for mount in mounts]


def test_a_container_reads_the_key_from_its_file_and_passes_the_arguments_unchanged(tmp_path: Path):
    service = yaml.safe_load(rendered("compose")["compose.yaml"])["services"]["engine-0"]
    entry = [undouble_dollars(word) for word in service["entrypoint"]]
    words = ["vllm", "$HOME", 'a "b"', "`id`", "c d"]
    assert run_wrapped(entry, words, tmp_path) == (words, "the-key")


@pytest.mark.parametrize("target", ["compose", "kubernetes", "router"])
def test_an_empty_key_file_prevents_the_start_of_an_unprotected_engine(target: Target, tmp_path: Path):
    key = tmp_path / "VLLM_API_KEY"
    key.write_text("\n")
    files = {str(file.path): file.text for file in render(target, MEDIUM, DeployOptions(api_key_file=key)).files}
    if target == "router":
        started = ["/bin/sh", "-c", files["engine-0.sh"]]
    else:
        entry = (
            yaml.safe_load(files["compose.yaml"])["services"]["engine-0"]["entrypoint"]
            if target == "compose"
            else list(yaml.safe_load_all(files["engine.yaml"]))[-1]["spec"]["template"]["spec"]["containers"][0][
                "command"
            ]
        )
        started = [undouble_dollars(word).replace("/run/secrets", str(tmp_path)) for word in entry] + [
            "echo",
            "started",
        ]

    ended = subprocess.run(started, capture_output=True, text=True, check=False)

    assert (ended.returncode != 0, ended.stdout) == (True, "")
    assert "VLLM_API_KEY: its file is empty" in ended.stderr


def test_locally_built_images_are_noted_since_no_registry_has_them():
    built = render("kubernetes", MEDIUM, options("kubernetes"))
    own = render("kubernetes", MEDIUM, replace(options("kubernetes"), engine_image="r/e:1", router_image="r/r:1"))

    assert built.commands[:2] == (
        "docker build -t tramontane-engine:vllm-0.33.0 -f Dockerfile.engine .",
        "docker build -t tramontane-router:0.1.17 -f Dockerfile.router .",
    )
    assert [note for note in built.notes if note not in own.notes] == [
        "A cluster pulls images from a registry: push the built images to yours, and set their registry names in "
        "engine.yaml and router.yaml."
    ]


def test_the_images_are_pinned_and_keep_mistral_common_below_the_version_that_breaks_vllm():
    files = rendered("compose")
    assert files["Dockerfile.engine"].splitlines()[2:] == [
        "FROM vllm/vllm-openai:v0.33.0",
        "RUN uv pip install --system 'mistral_common[image]>=1.11.6,<1.13'",
    ]
    assert files["Dockerfile.router"].splitlines()[1:] == [
        "FROM python:3.11-slim",
        "RUN pip install --no-cache-dir 'vllm-router==0.1.17'",
        "USER 65534:65534",
        'ENTRYPOINT ["vllm-router"]',
    ]
    own = rendered("compose", engine_image="registry.test/engine:1", router_image="registry.test/router:1")
    assert list(own) == ["compose.yaml"]
    services = yaml.safe_load(own["compose.yaml"])["services"]
    assert {name: (service["image"], "build" in service) for name, service in services.items()} == {
        "engine-0": ("registry.test/engine:1", False),
        "engine-1": ("registry.test/engine:1", False),
        "router": ("registry.test/router:1", False),
    }


# Kubernetes.


@pytest.mark.parametrize("name", ["plain", "of a folder"])
def test_every_manifest_is_valid_for_kubernetes(name: str):
    wanted = MEDIUM if name == "plain" else named(MEDIUM, "/srv/weights")
    files = rendered("kubernetes", wanted)
    manifests = [manifest for file in ("engine.yaml", "router.yaml") for manifest in yaml.safe_load_all(files[file])]
    assert [manifest["kind"] for manifest in manifests] == [
        *("Service", "NetworkPolicy", "StatefulSet", "Service", "Deployment")
    ]
    for manifest in manifests:
        validate_manifest(manifest, "1.33", strict=True)


def test_engine_pods_are_reached_by_name_and_read_the_key_from_a_secret():
    files = rendered("kubernetes", replicas=3)
    stateful = list(yaml.safe_load_all(files["engine.yaml"]))[2]
    pod = stateful["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert stateful["spec"]["replicas"] == 3
    assert container["resources"] == {"limits": {"nvidia.com/gpu": "4"}, "requests": {"nvidia.com/gpu": "4"}}
    assert pod["volumes"] == [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}},
        {"name": "secrets", "secret": {"secretName": "tramontane", "defaultMode": 0o400}},
    ]
    (claim,) = stateful["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "148Gi"  # 127.3 GiB of weights and draft, and 20
    router = list(yaml.safe_load_all(files["router.yaml"]))[1]["spec"]["template"]["spec"]["containers"][0]
    urls = [f"http://tramontane-engine-{number}.tramontane-engine:8000" for number in range(3)]
    assert [word for word in router["args"] if word.startswith("http://")] == urls


@settings(max_examples=30)  # reading YAML is slow
@given(name=ODD_NAMES)
def test_a_pod_runs_the_planned_command_whatever_the_model_name(name: str):
    wanted = named(MEDIUM, f"/models/{name}")
    stateful = list(yaml.safe_load_all(rendered("kubernetes", wanted)["engine.yaml"]))[2]
    pod = stateful["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    words, variables = command(wanted, host="0.0.0.0", port=8000, api_key_file=KEY)
    assert [undouble_dollars(word) for word in container["args"]] == words
    assert {item["name"]: undouble_dollars(item["value"]) for item in container["env"]} == variables
    folders = [volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume]
    assert folders == [f"/models/{name}", f"/models/{name}-draft"]


# systemd. Its tools are installed wherever it runs, CI machines included.

SYSTEMD_ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="systemd is not installed on this machine")


def verify_units(files: Mapping[str, str], folder: Path) -> tuple[int, str]:
    assert SYSTEMD_ANALYZE is not None
    units = [name for name in files if name.endswith(".service")]
    for name in units:
        (folder / name).write_text(files[name])
    result = subprocess.run(
        [SYSTEMD_ANALYZE, "verify", "--man=no", *(f"./{name}" for name in units)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return result.returncode, result.stdout + result.stderr


@needs_systemd
@pytest.mark.parametrize("nodes", [(), ("node1", "node2")])
def test_systemd_finds_no_errors_in_the_units(nodes: tuple[str, ...], tmp_path: Path):
    wanted = named(MEDIUM, "/models/50% of $HOME")
    assert verify_units(rendered("systemd", wanted, nodes=nodes, python=sys.executable), tmp_path) == (0, "")


@needs_systemd
def test_systemd_reads_a_command_past_its_comments(tmp_path: Path):
    """Otherwise systemd would miss an error in the last argument, and the argument itself."""
    files = rendered("systemd", python=sys.executable)
    broken = files["tramontane-router.service"].replace('"--worker-startup-check-interval" "5"', '"5')
    assert broken != files["tramontane-router.service"]
    _, output = verify_units({"tramontane-router.service": broken}, tmp_path)
    assert "unbalanced quot" in output.lower(), output


def unit(text: str) -> dict[str, list[str]]:
    """Parse a unit's settings: join continued lines, and ignore comments between them."""
    whole = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    settings: dict[str, list[str]] = {}
    for line in whole.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            settings.setdefault(key, []).append(value)
    return settings


def systemd_words(line: str) -> list[str]:
    """Split a command as in systemd.service(5): quotes and escapes first, then specifiers and variables."""
    words = shlex.split(line)
    for word in words:
        assert not re.search(r"(?<!%)(%%)*%(?![%i])", word), word
        assert not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", word), word
    return [word.replace("$$", "$").replace("%%", "%") for word in words]


@given(name=ODD_NAMES)
def test_a_unit_runs_the_planned_command_whatever_the_model_name(name: str):
    wanted = named(MEDIUM, f"/models/{name}")
    found = unit(rendered("systemd", wanted)["tramontane-engine@.service"])
    (line,) = found["ExecStart"]
    words = systemd_words(line)
    assert words[:4] == [
        *("/bin/sh", "-c"),
        'VLLM_API_KEY="$(cat "$CREDENTIALS_DIRECTORY/VLLM_API_KEY")" && : "${VLLM_API_KEY:?its file is empty}" && '
        'export VLLM_API_KEY && exec "$@"',
        "sh",
    ]
    made = engine_command(wanted, ServeOptions(port=8000, api_key_file=KEY))
    flags = list(made.arguments)
    flags[flags.index("--port") + 1] = "%i"
    assert words[4:] == ["/opt/tramontane/bin/python", *made.module, *flags]
    _, variables = command(wanted, host="127.0.0.1", port=8000, api_key_file=KEY)
    environment = [shlex.split(value)[0].replace("%%", "%") for value in found["Environment"]]
    assert environment == [f"{key}={value}" for key, value in variables.items()] + ["HOME=%C/tramontane"]
    assert found["LoadCredential"] == ["VLLM_API_KEY:/etc/tramontane/api key"]


def test_engines_that_share_a_machine_are_instances_by_port_with_their_own_gpus():
    files = rendered("systemd")
    assert list(files) == [
        *("tramontane-engine@.service", "tramontane-router.service", "engine-8000.env", "engine-8001.env")
    ]
    assert (files["engine-8000.env"], files["engine-8001.env"]) == (
        "CUDA_VISIBLE_DEVICES=0,1,2,3\n",
        "CUDA_VISIBLE_DEVICES=4,5,6,7\n",
    )
    assert list(rendered("systemd", nodes=("a", "b"))) == ["tramontane-engine@.service", "tramontane-router.service"]


# Plain scripts.


def run_script(text: str, folder: Path, program: str) -> tuple[list[str], dict[str, str]]:
    """Run a script with a fake program in place of the one it starts; return the program's arguments and variables."""
    fake = folder / program
    fake.write_text(
        f"#!{sys.executable}\nimport json, os, sys\nprint(json.dumps([[{program!r}, *sys.argv[1:]], dict(os.environ)]))"
    )
    fake.chmod(0o755)
    found = subprocess.run(
        ["sh"], input=text, capture_output=True, text=True, check=True, env={"PATH": f"{folder}:/usr/bin:/bin"}
    )
    words, variables = json.loads(found.stdout)
    return words, variables


@pytest.mark.parametrize("name", ["plain", 'it\'s $HOME; `id` "50%"'])
def test_a_script_runs_the_planned_command_with_the_key_from_its_file(name: str, tmp_path: Path):
    key = tmp_path / "a key"
    key.write_text("the-key\n")
    wanted = named(MEDIUM, f"/models/{name}")
    deployment = render("router", wanted, DeployOptions(api_key_file=key))
    files = {str(file.path): file for file in deployment.files}
    assert [(path, file.mode) for path, file in files.items()] == [
        *(("engine-0.sh", 0o755), ("engine-1.sh", 0o755), ("router.sh", 0o755))
    ]
    words, variables = run_script(files["engine-1.sh"].text, tmp_path, "vllm")
    expected, environment = command(wanted, host="127.0.0.1", port=8001, api_key_file=key)
    assert words == expected
    assert variables.items() >= (environment | {"VLLM_API_KEY": "the-key", "CUDA_VISIBLE_DEVICES": "4,5,6,7"}).items()
    words, _ = run_script(files["router.sh"].text, tmp_path, "vllm-router")
    assert words[1:8] == [
        *("--host", "127.0.0.1", "--port", "30000", "--worker-urls", "http://127.0.0.1:8000", "http://127.0.0.1:8001")
    ]


def test_shellcheck_finds_no_problems_in_the_scripts(tmp_path: Path):
    for name, text in rendered("router", nodes=("node1", "node2")).items():
        (tmp_path / name).write_text(text)
    scripts = sorted(path.name for path in tmp_path.iterdir())
    assert scripts == ["node1.sh", "node2.sh", "router.sh"]
    tool = Path(sys.executable).with_name("shellcheck")
    result = subprocess.run([tool, *scripts], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


def test_on_nodes_each_engine_listens_for_the_router_and_requires_the_key():
    deployment = render("router", MEDIUM, options("router", nodes=("node1", "node2")))
    files = {str(file.path): file.text for file in deployment.files}
    assert 'set -- "$@" --host 0.0.0.0' in files["node1.sh"]
    assert "CUDA_VISIBLE_DEVICES" not in files["node1.sh"]
    assert 'set -- "$@" --worker-urls http://node1:8000 http://node2:8000' in files["router.sh"]
    assert deployment.commands == (
        "scp node1.sh node1: && ssh -t node1 sh node1.sh",
        "scp node2.sh node2: && ssh -t node2 sh node2.sh",
        "./router.sh",
        "AGENT_API_KEY=\"$(cat '/etc/tramontane/api key')\" agent run task.yaml --base-url http://127.0.0.1:30000/v1",
    )
    assert deployment.notes[3:] == (
        "vLLM requires the key only below /v1: use a firewall that lets only the router's machine reach the engines.",
        "Key files and folders of weights must have the same path on every machine.",
    )


# Ray.


def test_a_ray_application_has_the_planned_command_as_keyword_arguments():
    data = yaml.safe_load(rendered("ray", served_model_name="medium")["serve.yaml"])
    assert data["http_options"] == {"host": "127.0.0.1", "port": 30000}
    (application,) = data["applications"]
    assert application["import_path"] == "ray.serve.llm:build_openai_app"
    (config,) = application["args"]["llm_configs"]
    assert config["model_loading_config"] == {
        "model_id": "medium",
        "model_source": "mistralai/Mistral-Medium-3.5-128B",
    }
    assert config["deployment_config"]["num_replicas"] == 2
    made = engine_command(MEDIUM, ServeOptions(served_model_name="medium"))
    assert config["runtime_env"]["env_vars"] == {variable.name: variable.value for variable in made.environment}
    flags = {flag.words[0]: flag.words[1:] for flag in made.flags}
    for name in ("--host", "--port", "--served-model-name"):
        del flags[name]
    rendered_flags = {f"--{name.replace('_', '-')}": value for name, value in config["engine_kwargs"].items()}
    assert rendered_flags.keys() == flags.keys()
    for name, words in flags.items():
        value = rendered_flags[name]
        assert value is True if not words else value == words[0] or value == json.loads(words[0]), name
    assert rendered_flags["--tensor-parallel-size"] == 4
    assert rendered_flags["--speculative-config"]["num_speculative_tokens"] == 3


# The router.


@pytest.mark.parametrize("policy", get_args(Policy))
def test_the_real_router_accepts_every_flag(policy: Policy):
    places = [Place(name=name, port=8000, gpus=(), url=f"http://{name}:8000") for name in ("a", "b")]
    flags = router_flags(places, DeployOptions(policy=policy, router_port=1234), host="127.0.0.1")
    parsed = parse_router_args([word for flag in flags for word in flag.words])
    assert (parsed.host, parsed.port, parsed.worker_urls, parsed.policy) == (
        *("127.0.0.1", 1234, ["http://a:8000", "http://b:8000"], policy),
    )
    assert parsed.cb_failure_threshold < parsed.retry_max_retries, "the last try must reach another engine"


@contextmanager
def real_router(*engines: ScriptedServer) -> Generator[str]:
    port, metrics = free_port(), free_port()
    urls = [engine.url.removesuffix("/v1") for engine in engines]
    places = [Place(name=url, port=0, gpus=(), url=url) for url in urls]
    flags = router_flags(places, DeployOptions(router_port=port), host="127.0.0.1")
    words = [*(word for flag in flags for word in flag.words), "--prometheus-port", str(metrics)]
    with subprocess.Popen(
        [sys.executable, *MODULE, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as router:
        try:
            until = time.monotonic() + 30.0
            while not answers(f"http://127.0.0.1:{port}/readiness"):
                assert time.monotonic() < until, "the router does not answer"
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            router.kill()


def answers(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False


def chats(engine: ScriptedServer) -> list[Received]:
    return [request for request in engine.requests if request.path == "/v1/chat/completions"]


@tool
def ping() -> str:
    """Answer"""
    return "pong"


async def test_the_router_drops_strict_as_its_note_says():
    with ScriptedServer(repeat(says("7"))) as engine, real_router(engine) as url:
        outcome = await Agent(Endpoint(url, api_key="the-key", profile=MISTRAL), tools=[ping]).run("Ping.")
    assert outcome.status == "finished"
    (request,) = chats(engine)
    (function,) = [item["function"] for item in request.json["tools"]]
    assert function == {"name": "ping", "description": "Answer", "parameters": ping.parameters}
    assert request.json["reasoning_effort"] == "none"
    assert request.headers["authorization"] == "Bearer the-key"
    assert request.headers["x-session-id"] == outcome.run


async def test_the_router_distributes_runs_and_moves_a_run_whose_engine_is_gone():
    with ScriptedServer(repeat(says("One."))) as one, ScriptedServer(repeat(says("Two."))) as two:
        engines = {"One.": one, "Two.": two}
        with real_router(one, two) as url:
            endpoint = Endpoint(url, patience_s=0.0)
            agent = Agent(endpoint)
            homes = {(await agent.run("Hi.")).answer for _ in range(2)}
            assert homes == {"One.", "Two."}
            async with endpoint.open(session="stays") as connection:
                ask = Request(model="scripted", messages=[b'{"role":"user","content":"Hi"}'], tools=b"[]", max_tokens=8)
                home = (await connection.ask(ask)).content
                assert {(await connection.ask(ask)).content for _ in range(3)} == {home}
                engines[home].close()
                # One request, without a retry by the client.
                assert (await connection.ask(ask)).content in {"One.", "Two."} - {home}


# All targets.


@pytest.mark.parametrize("target", TARGETS)
def test_no_rendered_file_contains_a_secret_or_trusts_remote_code(target: Target, tmp_path: Path):
    key, token = tmp_path / "key", tmp_path / "token"
    key.write_text("the-key-itself\n")
    token.write_text("the-token-itself\n")
    has_secrets = target != "ray"
    wanted = DeployOptions(api_key_file=key, hf_token_file=token) if has_secrets else DeployOptions()
    texts = [file.text for file in render(target, MEDIUM, wanted).files]
    assert not [text for text in texts if "the-key-itself" in text or "the-token-itself" in text]
    assert not [text for text in texts if "trust" in text]
    if has_secrets:
        assert [text for text in texts if "HF_TOKEN" in text]


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_plan_renders_the_same_files(target: Target):
    assert render(target, MEDIUM, options(target)) == render(target, MEDIUM, options(target))


# Refusals.


def refusal(target: Target, wanted: Plan, settings: DeployOptions) -> str:
    with pytest.raises(EngineError) as raised:
        render(target, wanted, settings)
    return str(raised.value)


def test_fewer_than_one_replica_is_refused():
    assert refusal("compose", MEDIUM, options("compose", replicas=0)) == (
        "Cannot deploy 0 replicas.\nNow:   Set --replicas to 1 or more."
    )


def test_more_replicas_than_the_machine_has_gpus_for_are_refused():
    assert refusal("systemd", MEDIUM, options("systemd", replicas=3)) == (
        "Cannot place 3 replicas of 4 GPU(s) on one machine: they need 12 GPUs, but it has 8.\n"
        "Now:   Set --replicas 2; or plan for a machine with 12 GPUs: --gpus h100:12 --tensor-parallel-size 4; or "
        "distribute them over machines: agent deploy systemd --node NAME --node NAME."
    )


def test_nodes_that_do_not_match_the_target_or_the_replicas_are_refused():
    nodes = ("a", "b")
    assert refusal("compose", MEDIUM, options("compose", nodes=nodes)) == (
        "Cannot place the engines of a compose deployment on named nodes: the file describes the containers of one "
        "machine.\nNow:   Omit --node, or deploy to `router` or `systemd`."
    )
    assert refusal("ray", MEDIUM, options("ray", nodes=nodes)) == (
        "Cannot place the engines of a ray deployment on named nodes: its own scheduler chooses the machines.\n"
        "Now:   Omit --node, or deploy to `router` or `systemd`."
    )
    assert refusal("router", MEDIUM, options("router", nodes=nodes, replicas=3)) == (
        "Cannot place 3 replicas on 2 nodes: each node runs one.\n"
        "Now:   Omit --replicas, or give as many nodes as replicas."
    )


@pytest.mark.parametrize("node", ["a b", "../a", "", "a/b", "-a", "[::1]", "a\n"])
def test_an_invalid_node_name_is_refused(node: str):
    assert refusal("router", MEDIUM, options("router", nodes=("a", node))) == (
        f"{node!r} is not a valid node name.\nNow:   Give a host name or an IPv4 address."
    )


def test_a_node_that_is_given_twice_is_refused():
    assert refusal("systemd", MEDIUM, options("systemd", nodes=("10.0.0.1", "10.0.0.1"))) == (
        "Node '10.0.0.1' is given twice: each node runs one engine.\n"
        "Now:   Give each machine once. For several engines on one machine, omit --node."
    )


def test_an_invalid_router_port_or_that_of_an_engine_is_refused():
    assert refusal("compose", MEDIUM, options("compose", router_port=65536)) == (
        "65536 is not a valid port.\nNow:   Set --port to a number from 1 to 65535."
    )
    assert refusal("router", MEDIUM, options("router", router_port=8001)) == (
        "The router cannot listen on port 8001: an engine uses it (from 8000 on).\n"
        "Now:   Choose another port for the router: --port N."
    )
    assert "127.0.0.1:8001:8001" in rendered("compose", router_port=8001)["compose.yaml"], "containers have own ports"


@pytest.mark.parametrize("target", ["compose", "kubernetes", "router", "systemd"])
def test_engines_that_others_can_reach_are_refused_without_a_key(target: Target):
    nodes = ("a", "b") if target in {"router", "systemd"} else ()
    assert refusal(target, MEDIUM, DeployOptions(nodes=nodes)) == (
        f"Cannot deploy to {target} without a key: engines that the router reaches over a network are reachable by "
        "others too.\nNow:   Write a key to a file that only you can read, and pass it: --api-key-file FILE."
    )


def test_engines_on_this_machine_need_no_key():
    assert "VLLM_API_KEY" not in "".join(file.text for file in render("systemd", MEDIUM, DeployOptions()).files)
    assert "VLLM_API_KEY" not in "".join(file.text for file in render("router", MEDIUM, DeployOptions()).files)


def test_a_key_for_ray_is_refused_since_ray_does_not_check_it():
    assert refusal("ray", MEDIUM, DeployOptions(api_key_file=KEY)) == (
        "Cannot deploy to Ray with a key: Ray Serve LLM does not check keys.\n"
        "Now:   Omit --api-key-file, and put a proxy that requires a key in front of its port."
    )


def test_a_token_for_ray_is_refused_since_the_configuration_would_contain_it():
    assert refusal("ray", MEDIUM, DeployOptions(hf_token_file=KEY)) == (
        "Cannot deploy to Ray with a token file: Ray's configuration would contain the token itself.\n"
        "Now:   Omit --hf-token-file, and export HF_TOKEN on each machine before `ray start`."
    )


def test_an_engine_on_the_cpu_is_refused():
    assert refusal("router", plan(PlanOptions(model="pocket", gpus="cpu")), DeployOptions(replicas=1)) == (
        "Cannot deploy pocket on the CPU: the images and units are for vLLM with CUDA.\n"
        "Now:   Give the GPUs, such as --gpus h100:4. To try a model on the CPU: agent serve pocket."
    )


def test_a_plan_that_does_not_start_is_refused_with_its_changes():
    small = plan(PlanOptions(gpus="h100:1", max_model_len=32768))
    changes = "\n       ".join(f"{change.option}  ({change.what})" for change in small.changes)
    assert small.changes
    assert refusal("compose", small, options("compose", replicas=1)) == (
        f"Cannot deploy Mistral Medium 3.5 128B on 1 x {small.request.gpus.gpu.title}: an engine would not start, "
        f"since each GPU lacks {small.missing_bytes:,} bytes.\nNow:   Use one of these:\n       {changes}"
    )
    hopeless = replace(small, changes=())
    assert refusal("compose", hopeless, options("compose", replicas=1)).endswith(
        "\nNow:   Use more GPUs, larger ones, or a smaller model."
    )


def test_an_uncertain_plan_is_noted():
    one = DeployOptions(replicas=1)
    unsure = replace(MEDIUM, starts="unsure")
    note = "It is not certain that an engine starts until `agent serve` has measured it once."
    assert render("router", unsure, one).notes[0] == note
    assert render("router", MEDIUM, one).notes == render("router", unsure, one).notes[1:]
    change = Change(request=MEDIUM.request, what="cap the context", option="--context 4096")
    assert render("router", replace(unsure, changes=(change, change)), one).notes[0] == (
        f"{note} To be certain: --context 4096, or --context 4096."
    )
    many = replace(MEDIUM, concurrency=2.34, request=replace(MEDIUM.request, concurrency=16))
    assert render("router", many, one).notes[0] == "An engine holds 2.3 full-length requests at once, not 16."


def test_sglang_is_refused():
    wanted = replace(MEDIUM, request=replace(MEDIUM.request, engine="sglang"))
    assert refusal("router", wanted, DeployOptions()) == (
        "Cannot deploy SGLang: engines behind a router are reached over the network, so they need a key, but SGLang "
        "0.5.23 cannot read one from a file or the environment.\nNow:   Plan with --engine vllm."
    )


@pytest.mark.parametrize("name", ["/models/two\nlines", "/models/\x1b[31m", "/models/\ufeffmark"])
def test_a_name_with_unprintable_characters_is_refused(name: str):
    assert refusal("systemd", named(MEDIUM, name), DeployOptions()) == (
        f"Cannot write {name!r} to a file for another program: it contains unprintable characters.\n"
        "Now:   Rename the file or folder, or give another name."
    )
