"""Problems that prevent a start: the text of each finding, and several findings together."""

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
from serving.readiness.gpu_state import Driver, GpuProcess, GpuState, query_driver
from serving.readiness.machine import Machine, inspect_machine, is_taken
from serving.readiness.preflight import Finding, preflight, raise_if_blocked
from serving.readiness.versions import VersionProblem
from serving.readiness.weights import FoundWeights
from serving.running.record import ServerRecord

GIB = 2**30
REPO = "mistralai/Mistral-Medium-3.5-128B"
OPTIONS = ServeOptions(port=8000)


def a_plan(gpus: str = "h200:4", context: int = 32768) -> Plan:
    return plan(PlanOptions(gpus=gpus, max_model_len=context))


def a_gpu(free: float = 139.0, total: float = 139.81, *processes: GpuProcess) -> GpuState:
    return GpuState(title="NVIDIA H200", total_bytes=int(total * GIB), free_bytes=int(free * GIB), processes=processes)


def complete(name: str = REPO) -> FoundWeights:
    return FoundWeights(name=name, layout="mistral", folder=Path("/cache"), missing=(), present_bytes=7, total_bytes=7)


def a_machine(*gpus: GpuState, **changes: object) -> Machine:
    machine = Machine(
        python=Path("/env/bin/python"),
        driver=Driver(gpus=gpus or (a_gpu(),) * 4, version="580.1"),
        weights=(complete(),),
        cache=Path("/cache"),
        cache_free_bytes=500 * GIB,
        token=True,
        offline=False,
        port_taken=False,
        server=None,
        versions=(),
        errors=(),
    )
    return replace(machine, **changes)


def found(machine: Machine, planned: Plan | None = None) -> list[Finding]:
    return list(preflight(planned or a_plan(), machine, OPTIONS))


def blocking(what: str, do: str) -> list[Finding]:
    return [Finding(what=what, do=do, blocks=True)]


def test_a_ready_machine_has_no_findings():
    assert found(a_machine()) == []


def test_a_missing_gpu_is_reported_with_the_driver_s_reason_and_two_alternatives():
    machine = a_machine(driver=Driver(error="NVML Shared Library Not Found"))
    assert found(machine) == blocking(
        "the driver reports no NVIDIA GPU on this machine (NVML Shared Library Not Found).",
        "To try function calling on the CPU with a tiny model: agent serve pocket\n"
        "To see which GPUs are needed: agent plan --gpus h200:4",
    )


def test_too_few_and_too_small_gpus_are_reported():
    assert found(a_machine(a_gpu(), a_gpu())) == blocking(
        "the plan splits it over 4 GPUs, but this machine has 2.",
        "Plan for this machine: omit --gpus and --tensor-parallel-size.",
    )
    small = [a_gpu(79.0, 79.11)] * 4
    assert found(a_machine(*small)) == blocking(
        "the plan is for NVIDIA H200 141GB SXM with 139.8 GiB, but this machine has NVIDIA H200 with 79.1 GiB.",
        "Plan for this machine: omit --gpus.",
    )


def test_the_processes_on_a_gpu_are_listed_with_the_utilisation_that_is_free():
    busy = a_gpu(100.0, 139.81, GpuProcess(pid=4711, name="python", used_bytes=39 * GIB))
    hidden = a_gpu(110.0)
    assert found(a_machine(busy, hidden, a_gpu(), a_gpu())) == [
        *blocking(
            "GPU 0 has 100.0 GiB free of 139.8 GiB, but the engine would use 118.8 GiB. The rest is used by process "
            "4711 (python) with 39.0 GiB.",
            "End the processes that use the memory, or let the engine use less: --gpu-memory-utilization 0.71.",
        ),
        *blocking(
            "GPU 1 has 110.0 GiB free of 139.8 GiB, but the engine would use 118.8 GiB. The driver lists no process "
            "that uses the rest; it may be in another container.",
            "End the processes that use the memory, or let the engine use less: --gpu-memory-utilization 0.78.",
        ),
    ]


def test_a_plan_that_does_not_fit_blocks_the_start_and_lists_changes_that_fit():
    planned = a_plan("h100:2", 131072)
    (one,) = found(a_machine(*[a_gpu(79.0, 79.11)] * 2), planned)
    lines = one.do.splitlines()
    assert (one.what, one.blocks) == (
        f"according to the plan it does not fit: {planned.missing_bytes / GIB:.2f} GiB are missing on each GPU.",
        True,
    )
    assert lines[0] == "Make one of these changes, or add --fit to make the first:"
    assert lines[1:] == [f"{change.what}: {change.option}" for change in planned.changes]


def test_a_plan_for_the_cpu_that_does_not_fit_names_the_kv_cache_and_no_gpu():
    """It said that memory was missing on each GPU; on the CPU only the size of the KV cache is planned."""
    planned = plan(PlanOptions(model="pocket", gpus="cpu", max_model_len=4096, kv_cache_memory_bytes=2**20))
    (one,) = found(a_machine(driver=Driver()), planned)
    assert one.what == (
        "according to the plan it does not fit: the KV cache in this machine's memory is 0.03 GiB too small for one "
        "request of 4,096 tokens."
    )


def test_a_plan_that_may_not_fit_does_not_block_the_start():
    planned = replace(a_plan(), starts="unsure")
    assert found(a_machine(), planned) == [
        Finding(
            what="According to the plan it may not fit, depending on what the engine needs besides weights and KV "
            "cache.",
            do="",
            blocks=False,
        )
    ]


def test_missing_weights_are_downloaded_by_the_engine_if_there_is_disk_space():
    absent = FoundWeights(name=REPO, layout="mistral", folder=None, missing=(), present_bytes=0, total_bytes=124 * GIB)
    assert found(a_machine(weights=(absent,), token=False)) == [
        Finding(
            what=f"The weights of {REPO} are not on this machine: the engine first downloads 124.0 GiB (one of two "
            "layouts). No token is set; if the repository requires one, accept its terms and run: hf auth login.",
            do=f"To download them beforehand: hf download {REPO} --exclude 'model*'",
            blocks=False,
        )
    ]
    first, _ = found(a_machine(weights=(absent,), cache_free_bytes=100 * GIB))
    assert [first] == blocking(
        "124.0 GiB of weights need to be downloaded to /cache, but only 100.0 GiB are free there.",
        "Free some space, or set HF_HOME to a folder on a larger disk.",
    )


def test_missing_files_block_the_start_if_the_hub_may_not_be_used():
    partial = replace(complete(), missing=("consolidated-2.safetensors", "tekken.json"))
    assert found(a_machine(weights=(partial,), offline=True)) == blocking(
        f"some files of {REPO} are missing (consolidated-2.safetensors, tekken.json), and HF_HUB_OFFLINE forbids "
        "downloading them.",
        f"Unset HF_HUB_OFFLINE, or download them elsewhere (one of two layouts): hf download {REPO} --exclude 'model*'",
    )
    folder = replace(complete("/cache"), missing=("tekken.json",))
    assert found(a_machine(weights=(folder,))) == blocking(
        "files are missing in /cache: tekken.json.", "Add the missing files."
    )


def test_a_port_a_server_and_a_version_can_block_the_start():
    assert found(a_machine(port_taken=True)) == blocking(
        "port 8000 on 127.0.0.1 is in use or not permitted.",
        "Choose another one: --port N. Without --port, a free one is chosen.",
    )
    server = ServerRecord(
        base_url="http://127.0.0.1:8000/v1", model="m", engine="vllm", pid=1, start_ticks=1, started_at="", log="",
        max_model_len=1,
    )  # fmt: skip
    assert found(a_machine(server=server)) == blocking(
        "a server is already running here, 'm' at http://127.0.0.1:8000/v1 (ready).",
        "Use it, or stop it first: agent serve stop.",
    )
    problem = VersionProblem(what="It breaks.", cause="Read in the source.", pins=("a<2", "b>=1"), breaks=True)
    assert found(a_machine(versions=(problem,))) == blocking(
        "It breaks. Read in the source.", '/env/bin/python -m pip install "a<2" "b>=1"'
    )
    assert not found(a_machine(versions=(replace(problem, breaks=False),)))[0].blocks


def test_one_problem_is_reported_in_one_sentence_and_several_as_a_list():
    raise_if_blocked((Finding(what="A note.", do="", blocks=False),), "M")
    with pytest.raises(EngineError) as caught:
        raise_if_blocked((Finding(what="it is late.", do="Sleep.", blocks=True),), "M")
    assert str(caught.value) == "Cannot start M: it is late.\nNow:   Sleep."
    with pytest.raises(EngineError) as caught:
        raise_if_blocked(
            (
                Finding(what="it is late.", do="Sleep.\nOr make coffee.", blocks=True),
                Finding(what="it rains.", do="Wait.", blocks=True),
            ),
            "M",
        )
    assert str(caught.value) == (
        "Cannot start M: 2 problems were found.\n"
        "Cause: 1. it is late.\n"
        "          Sleep.\n"
        "          Or make coffee.\n"
        "       2. it rains.\n"
        "          Wait.\n"
        "Now:   Fix each one as described below it and start again."
    )


def test_an_error_of_the_inspection_keeps_its_cause_and_its_log():
    """Only what failed was shown, not why: an installation that failed hid pip's output and the file that holds it."""
    error = EngineError("cannot install it.", cause="one\ntwo", do="Try again.", log=Path("/cache/log"))
    with pytest.raises(EngineError) as caught:
        raise_if_blocked(preflight(a_plan(), a_machine(errors=(error,)), OPTIONS), "M")
    assert str(caught.value) == (
        "Cannot start M: cannot install it.\nCause: one\n       two\nLog:   /cache/log\nNow:   Try again."
    )
    with pytest.raises(EngineError) as caught:
        raise_if_blocked(preflight(a_plan(), a_machine(errors=(error,), port_taken=True), OPTIONS), "M")
    assert str(caught.value) == (
        "Cannot start M: 2 problems were found.\n"
        "Cause: 1. port 8000 on 127.0.0.1 is in use or not permitted.\n"
        "          Choose another one: --port N. Without --port, a free one is chosen.\n"
        "       2. cannot install it.\n"
        "          Cause: one\n"
        "                 two\n"
        "          Log:   /cache/log\n"
        "          Try again.\n"
        "Now:   Fix each one as described below it and start again."
    )


def test_this_machine_is_inspected(tmp_path: Path):
    planned = plan(PlanOptions(model=str(model_dir()), gpus=parse_gpus("cpu")))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        options = ServeOptions(port=listening.getsockname()[1], api_key_file=tmp_path / "key")
        machine = inspect_machine(
            planned.request, engine_command(planned, options), options,
            python=Path(sys.executable), environ={"HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}, state=tmp_path,
        )  # fmt: skip
        assert is_taken("127.0.0.1", options.port)

    assert machine.driver == Driver()
    assert (machine.port_taken, machine.offline, machine.token, machine.server) == (True, True, False, None)
    assert [weights.missing for weights in machine.weights] == [()]
    assert machine.weights[0].present_bytes == (model_dir() / "consolidated.safetensors").stat().st_size
    assert [problem.what for problem in machine.versions] == ["vllm is not installed."]
    assert [error.what for error in machine.errors] == [f"Cannot read the key file '{tmp_path}/key'."]


def test_an_error_about_python_is_reported_with_the_other_problems(tmp_path: Path):
    planned = plan(PlanOptions(model=str(model_dir()), gpus=parse_gpus("cpu")))
    error = EngineError("No Python.", cause="", do="Install one.")
    machine = inspect_machine(
        planned.request, engine_command(planned, OPTIONS), OPTIONS,
        python=error, environ={"HOME": str(tmp_path)}, state=tmp_path,
    )  # fmt: skip
    assert (machine.python, machine.errors) == (None, (error,))


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a driver")
def test_a_missing_driver_is_reported():
    assert query_driver(os.environ) == Driver(error="NVML Shared Library Not Found")


def a_driver() -> ModuleType:
    """Stands in for pynvml: two GPUs; the driver does not list the processes of the second."""
    nvml = ModuleType("pynvml")

    class NVMLError(Exception):
        """As in pynvml."""

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


def test_the_driver_is_queried_for_the_gpus_that_an_engine_sees(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynvml", a_driver())
    own = GpuProcess(pid=os.getpid(), name=Path("/proc/self/comm").read_text().strip(), used_bytes=0)
    first = GpuState(title="NVIDIA H200", total_bytes=90, free_bytes=80, processes=(own,))
    second = GpuState(title="NVIDIA H200", total_bytes=90, free_bytes=79, processes=())
    assert query_driver({}) == Driver(gpus=(first, second), version="580.1")
    assert query_driver({"CUDA_VISIBLE_DEVICES": "GPU-1,0,7"}) == Driver(gpus=(second, first), version="580.1")
    assert query_driver({"CUDA_VISIBLE_DEVICES": ""}) == Driver(version="580.1")
