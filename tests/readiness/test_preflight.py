"""What stands in the way of a start: every finding with its text, and all of them at once."""

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from serving import EngineError
from serving.capacity.hardware import parse_gpus
from serving.capacity.planner import plan
from serving.capacity.sizing import Plan, PlanOptions
from serving.engines import engine_command
from serving.engines.command import ServeOptions
from serving.pocket import model_dir
from serving.readiness.gpu_state import Driver, GpuHolder, GpuState, ask_driver
from serving.readiness.machine import Machine, is_taken, look
from serving.readiness.preflight import Finding, preflight, refuse
from serving.readiness.versions import VersionProblem
from serving.readiness.weights import FoundWeights
from serving.running.record import ServerRecord

GIB = 2**30
REPO = "mistralai/Mistral-Medium-3.5-128B"
OPTIONS = ServeOptions(port=8000)


def a_plan(gpus: str = "h200:4", context: int = 32768) -> Plan:
    return plan(PlanOptions(gpus=gpus, max_model_len=context))


def a_gpu(free: float = 139.0, total: float = 139.81, *holders: GpuHolder) -> GpuState:
    return GpuState(title="NVIDIA H200", total_bytes=int(total * GIB), free_bytes=int(free * GIB), holders=holders)


def whole(name: str = REPO) -> FoundWeights:
    return FoundWeights(name=name, layout="mistral", folder=Path("/cache"), missing=(), there_bytes=7, whole_bytes=7)


def a_machine(*gpus: GpuState, **changes: object) -> Machine:
    machine = Machine(
        python=Path("/env/bin/python"),
        driver=Driver(gpus=gpus or (a_gpu(),) * 4, version="580.1"),
        weights=(whole(),),
        cache=Path("/cache"),
        cache_free_bytes=500 * GIB,
        token=True,
        offline=False,
        port_taken=False,
        server=None,
        versions=(),
        broken=(),
    )
    return replace(machine, **changes)


def found(machine: Machine, planned: Plan | None = None) -> list[Finding]:
    return list(preflight(planned or a_plan(), machine, OPTIONS))


def stop(what: str, do: str) -> list[Finding]:
    return [Finding(what=what, do=do, stops=True)]


def test_nothing_is_said_where_nothing_is_wrong():
    assert found(a_machine()) == []


def test_no_gpu_names_the_driver_s_reason_and_two_ways_on():
    machine = a_machine(driver=Driver(trouble="NVML Shared Library Not Found"))
    assert found(machine) == stop(
        "this machine has no NVIDIA GPU that its driver shows (NVML Shared Library Not Found).",
        "To try function calling on the CPU with a tiny model: agent serve pocket\n"
        "To see which GPUs it takes: agent plan --gpus h200:4",
    )


def test_too_few_and_too_small_gpus_are_told():
    assert found(a_machine(a_gpu(), a_gpu())) == stop(
        "it is to be split over 4 GPUs, and 2 are here.",
        "Plan for what is here: leave --gpus and --tensor-parallel-size away.",
    )
    small = [a_gpu(79.0, 79.11)] * 4
    assert found(a_machine(*small)) == stop(
        "it is planned for NVIDIA H200 141GB SXM with 139.8 GiB, and here is a NVIDIA H200 with 79.1 GiB.",
        "Plan for what is here: leave --gpus away.",
    )


def test_who_holds_a_gpu_is_named_with_the_share_that_is_free():
    busy = a_gpu(100.0, 139.81, GpuHolder(pid=4711, name="python", used_bytes=39 * GIB))
    hidden = a_gpu(110.0)
    assert found(a_machine(busy, hidden, a_gpu(), a_gpu())) == [
        *stop(
            "GPU 0 has 100.0 GiB free of 139.8 GiB, and the engine is to take 118.8 GiB. It is held by process 4711 "
            "(python) with 39.0 GiB.",
            "End what holds the memory, or take less: --gpu-memory-utilization 0.71.",
        ),
        *stop(
            "GPU 1 has 110.0 GiB free of 139.8 GiB, and the engine is to take 118.8 GiB. The driver names no process "
            "that holds the rest; it may be in another container.",
            "End what holds the memory, or take less: --gpu-memory-utilization 0.78.",
        ),
    ]


def test_a_plan_that_does_not_fit_is_refused_with_what_would():
    planned = a_plan("h100:2", 131072)
    (one,) = found(a_machine(*[a_gpu(79.0, 79.11)] * 2), planned)
    lines = one.do.splitlines()
    assert (one.what, one.stops) == (
        f"by plan it does not fit, {planned.missing_bytes / GIB:.2f} GiB are missing on each GPU.",
        True,
    )
    assert lines[0] == "Change one of these, or add --fit for the first:"
    assert lines[1:] == [f"{change.what}: {change.option}" for change in planned.changes]


def test_a_plan_that_may_not_fit_is_only_said():
    planned = replace(a_plan(), starts="unsure")
    assert found(a_machine(), planned) == [
        Finding(
            what="By plan it is not sure that it fits: it depends on what the engine needs beside weights and KV "
            "cache.",
            do="",
            stops=False,
        )
    ]


def test_weights_that_are_not_here_are_fetched_by_the_engine_if_there_is_room():
    absent = FoundWeights(name=REPO, layout="mistral", folder=None, missing=(), there_bytes=0, whole_bytes=124 * GIB)
    assert found(a_machine(weights=(absent,), token=False)) == [
        Finding(
            what=f"The weights of {REPO} are not here: the engine fetches 124.0 GiB first, one layout of the two. No "
            "token is set; if the repository asks for one, accept its terms and: hf auth login.",
            do=f"To fetch them beforehand: hf download {REPO} --exclude 'model*'",
            stops=False,
        )
    ]
    first, _ = found(a_machine(weights=(absent,), cache_free_bytes=100 * GIB))
    assert [first] == stop(
        "124.0 GiB of weights are to be fetched to /cache, where 100.0 GiB are free.",
        "Free some space, or let HF_HOME name a folder on a larger disk.",
    )


def test_without_the_hub_missing_files_stop_the_start():
    part = replace(whole(), missing=("consolidated-2.safetensors", "tekken.json"))
    assert found(a_machine(weights=(part,), offline=True)) == stop(
        f"of {REPO} some files are missing here (consolidated-2.safetensors, tekken.json), and HF_HUB_OFFLINE forbids "
        "to fetch them.",
        f"Unset HF_HUB_OFFLINE, or fetch them elsewhere, one layout of the two: hf download {REPO} --exclude 'model*'",
    )
    folder = replace(whole("/cache"), missing=("tekken.json",))
    assert found(a_machine(weights=(folder,))) == stop("/cache lacks tekken.json.", "Complete the folder.")


def test_a_port_a_server_and_a_version_in_the_way_are_told():
    assert found(a_machine(port_taken=True)) == stop(
        "port 8000 of 127.0.0.1 is taken, or may not be used.",
        "Give another one: --port N. Without --port a free one is taken.",
    )
    server = ServerRecord(
        base_url="http://127.0.0.1:8000/v1", model="m", engine="vllm", pid=1, start_ticks=1, started_at="", log="",
        max_model_len=1,
    )  # fmt: skip
    assert found(a_machine(server=server)) == stop(
        "a server runs here already, 'm' at http://127.0.0.1:8000/v1 (ready).",
        "Use that one, or end it first: agent serve stop.",
    )
    problem = VersionProblem(what="It breaks.", cause="Read in the source.", pins=("a<2", "b>=1"), known=True)
    assert found(a_machine(versions=(problem,))) == stop(
        "It breaks. Read in the source.", '/env/bin/python -m pip install "a<2" "b>=1"'
    )
    assert not found(a_machine(versions=(replace(problem, known=False),)))[0].stops


def test_one_problem_is_told_in_one_sentence_and_several_all_at_once():
    refuse((Finding(what="A note.", do="", stops=False),), "M")
    with pytest.raises(EngineError) as caught:
        refuse((Finding(what="it is late.", do="Sleep.", stops=True),), "M")
    assert str(caught.value) == "Cannot start M: it is late.\nNow:   Sleep."
    with pytest.raises(EngineError) as caught:
        refuse(
            (
                Finding(what="it is late.", do="Sleep.\nOr make coffee.", stops=True),
                Finding(what="it rains.", do="Wait.", stops=True),
            ),
            "M",
        )
    assert str(caught.value) == (
        "Cannot start M: 2 things stand in the way.\n"
        "Cause: 1. it is late.\n"
        "          Sleep.\n"
        "          Or make coffee.\n"
        "       2. it rains.\n"
        "          Wait.\n"
        "Now:   Mend these, each as the lines below it say, and start again."
    )


def test_this_machine_is_looked_at_as_it_is(tmp_path: Path):
    planned = plan(PlanOptions(model=str(model_dir()), gpus=parse_gpus("cpu")))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        options = ServeOptions(port=listening.getsockname()[1], api_key_file=tmp_path / "key")
        machine = look(
            planned.request, engine_command(planned, options), options,
            python=Path(sys.executable), environ={"HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}, state=tmp_path,
        )  # fmt: skip
        assert is_taken("127.0.0.1", options.port)

    assert machine.driver == Driver()
    assert (machine.port_taken, machine.offline, machine.token, machine.server) == (True, True, False, None)
    assert [weights.missing for weights in machine.weights] == [()]
    assert machine.weights[0].there_bytes == (model_dir() / "consolidated.safetensors").stat().st_size
    assert [problem.what for problem in machine.versions] == ["vllm is not installed."]
    assert [error.what for error in machine.broken] == [f"Cannot read the key file '{tmp_path}/key'."]


def test_what_is_wrong_with_python_is_told_with_the_rest(tmp_path: Path):
    planned = plan(PlanOptions(model=str(model_dir()), gpus=parse_gpus("cpu")))
    error = EngineError("No Python.", cause="", do="Install one.")
    machine = look(
        planned.request, engine_command(planned, OPTIONS), OPTIONS,
        python=error, environ={"HOME": str(tmp_path)}, state=tmp_path,
    )  # fmt: skip
    assert (machine.python, machine.broken) == (None, (error,))


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a driver")
def test_a_machine_without_a_driver_says_so():
    assert ask_driver(os.environ) == Driver(trouble="NVML Shared Library Not Found")


def a_driver() -> ModuleType:
    """Stands in for pynvml: two GPUs, of which the second lets nobody see who is on it."""
    nvml = ModuleType("pynvml")

    class NVMLError(Exception):
        """As the package has it."""

    def processes(handle: int) -> list[SimpleNamespace]:
        if handle == 1:
            raise NVMLError
        return [SimpleNamespace(pid=os.getpid(), usedGpuMemory=None)]

    def memory(handle: int, version: int) -> SimpleNamespace:
        assert version == 2
        return SimpleNamespace(total=100, reserved=10, free=80 - handle)

    vars(nvml).update(
        NVMLError=NVMLError,
        nvmlMemory_v2=2,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=lambda: "580.1",
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=int,
        nvmlDeviceGetUUID="GPU-{}".format,
        nvmlDeviceGetName="NVIDIA H200".format,
        nvmlDeviceGetMemoryInfo=memory,
        nvmlDeviceGetComputeRunningProcesses=processes,
    )
    return nvml


def test_the_driver_is_asked_for_the_gpus_that_an_engine_sees(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynvml", a_driver())
    own = GpuHolder(pid=os.getpid(), name=Path("/proc/self/comm").read_text().strip(), used_bytes=0)
    first = GpuState(title="NVIDIA H200", total_bytes=90, free_bytes=80, holders=(own,))
    second = GpuState(title="NVIDIA H200", total_bytes=90, free_bytes=79, holders=())
    assert ask_driver({}) == Driver(gpus=(first, second), version="580.1")
    assert ask_driver({"CUDA_VISIBLE_DEVICES": "GPU-1,0,7"}) == Driver(gpus=(second, first), version="580.1")
    assert ask_driver({"CUDA_VISIBLE_DEVICES": ""}) == Driver(version="580.1")
