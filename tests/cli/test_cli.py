"""The `agent` command, called through its main function, against a scripted server."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from agent.cli import COMMANDS, main
from agent.cli.discovery import NOT_FOUND
from agent.messages import Reply, Usage
from agent.testing import ScriptedServer, calls, says

TASK = """\
name: greet
prompt: Write {{word}} into hello.txt.
vars: {word: hello}
workspace: {path: work, create: true}
tools: [write_file]
env: {WORD: "{{word}}"}
verify: {command: 'test "$(cat hello.txt)" = "$WORD"', attempts: 1}
"""


pytestmark = pytest.mark.usefixtures("own_machine")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    path = tmp_path / "task.yaml"
    path.write_text(TASK)
    return path


def writes(word: str) -> list[Reply]:
    return [calls(("write_file", {"path": "hello.txt", "content": word})), says("Done.")]


def test_help_lists_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    printed = capsys.readouterr().out
    assert left.value.code == 0
    assert all(f"    {name} " in printed and summary in printed for name, summary in COMMANDS.items())
    assert "0 verified or finished, 1 verification failed, 2 wrong task, configuration or endpoint," in printed


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: agent {command}")


def test_version_prints_the_installed_version(capsys: pytest.CaptureFixture[str]):
    """It printed an empty line."""
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"agent (tramontane) {version('tramontane')}\n"


def test_no_command_prints_the_help_and_fails(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    assert capsys.readouterr().out.startswith("usage: agent [-h]")


def test_a_verified_run_exits_with_0_and_is_shown_live(task: Path, capsys: pytest.CaptureFixture[str]):
    with ScriptedServer(writes("hello")) as server:
        assert main(["run", str(task), "--base-url", server.url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("run 2")
    assert server.url in lines[0]
    (end,) = [at for at, line in enumerate(lines) if line.startswith("verified  2 steps, 1 calls, ")]
    name = lines[0].split()[1]
    assert lines[end - 2 : end] == ["answer:", "    Done."]
    assert lines[end + 1 :] == [
        "changed files:",
        "    added    hello.txt",
        f"show them: agent diff {name}",
        f"undo them: agent undo {name}",
    ]
    assert '  calls     write_file {"path": "hello.txt", "content": "hello"}' in lines
    assert "  ok        write_file  Wrote 5 bytes to hello.txt." in lines
    assert (task.parent / "work" / "hello.txt").read_text() == "hello"


def test_set_replaces_a_variable_in_prompt_and_env(task: Path):
    with ScriptedServer(writes("mistral")) as server:
        assert main(["run", str(task), "--base-url", server.url, "--set", "word=mistral"]) == 0
    assert server.bodies[0]["messages"][1] == {"role": "user", "content": "Write mistral into hello.txt."}


def test_a_failed_verification_exits_with_1(task: Path, capsys: pytest.CaptureFixture[str]):
    with ScriptedServer(writes("wrong")) as server:
        assert main(["run", str(task), "--base-url", server.url]) == 1
    assert "\nverify_failed  2 steps, 1 calls, " in capsys.readouterr().out


def test_a_used_up_budget_exits_with_3(task: Path, capsys: pytest.CaptureFixture[str]):
    with ScriptedServer(writes("wrong")) as server:
        assert main(["run", str(task), "--base-url", server.url, "--set", "limits.steps=1"]) == 3
    assert "the limit steps = 1 is reached (1 used)" in capsys.readouterr().out


def test_json_prints_the_journal_line_by_line(task: Path, capsys: pytest.CaptureFixture[str]):
    with ScriptedServer(writes("hello")) as server:
        assert main(["run", str(task), "--base-url", server.url, "--json"]) == 0
    printed = capsys.readouterr().out.splitlines()
    journal = next((task.parent / "state" / "tramontane" / "runs").glob("*/journal.jsonl")).read_text().splitlines()
    assert [json.loads(line) for line in printed] == [
        {key: value for key, value in json.loads(line).items() if key not in {"crc", "after"}} for line in journal
    ]
    kinds = [json.loads(line)["kind"] for line in printed]
    assert kinds == [
        "run_started",
        "requested", "replied", "turn_taken", "call_started", "files_changed", "call_ended", "progressed",
        "requested", "replied", "turn_taken", "verify_started", "verify_ended", "run_ended",
    ]  # fmt: skip


def test_dry_run_shows_the_prompt_and_the_exact_tokens_and_sends_the_model_nothing(
    task: Path, capsys: pytest.CaptureFixture[str]
):
    with ScriptedServer([]) as server:
        assert main(["run", str(task), "--base-url", server.url, "--dry-run"]) == 0
        paths = {request.path for request in server.requests}
    printed = capsys.readouterr().out
    assert "prompt:\n  Write hello into hello.txt.\n" in printed
    assert "tools: write_file (" in printed
    assert f"counted by {server.url}" in printed
    assert paths == {"/v1/models", "/tokenize"}


def test_without_a_server_the_error_lists_the_four_ways(task: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", str(task)]) == 2
    assert capsys.readouterr().err == f"agent: {NOT_FOUND}\n"


def test_the_server_is_found_by_flag_then_task_then_environment_then_record(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Each way is tested with all the lower ones set as well."""
    with ScriptedServer(writes("hello") * 4) as right, ScriptedServer([]) as wrong:
        stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        record = {"version": 1, "base_url": right.url, "model": "scripted", "engine": "vllm", "pid": os.getpid(),
                  "start_ticks": int(stat[19]), "started_at": "", "log": "", "max_model_len": 1}  # fmt: skip
        place = tmp_path / "state" / "tramontane" / "server.json"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(record))
        assert main(["run", str(task)]) == 0
        place.write_text(json.dumps({**record, "base_url": wrong.url}))
        monkeypatch.setenv("AGENT_BASE_URL", right.url)
        assert main(["run", str(task)]) == 0
        monkeypatch.setenv("AGENT_BASE_URL", wrong.url)
        assert main(["run", str(task), "--set", f"model.base_url={right.url}"]) == 0
        assert main(["run", str(task), "--set", f"model.base_url={wrong.url}", "--base-url", right.url]) == 0
        assert not wrong.requests


def test_a_record_of_an_ended_process_is_not_used(task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    record = {"version": 1, "base_url": "http://127.0.0.1:1/v1", "model": "m", "pid": gone.pid, "start_ticks": 1}
    place = tmp_path / "state" / "tramontane" / "server.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(record))
    assert main(["run", str(task)]) == 2
    assert capsys.readouterr().err == f"agent: {NOT_FOUND}\n"


def test_a_run_finds_the_recorded_server(tmp_path: Path):
    from agent.cli.discovery import EndpointRequest, find_endpoint
    from agent.task.parts import TaskModel
    from serving import ServerRecord
    from serving.running.record import write_record

    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    record = ServerRecord(
        base_url="http://127.0.0.1:9/v1", model="pocket", engine="vllm", pid=os.getpid(), start_ticks=ticks,
        started_at="2026-11-23T16:00:00+00:00", log="/tmp/log", max_model_len=8192,
    )  # fmt: skip
    write_record(record, tmp_path / "tramontane")
    found = find_endpoint(EndpointRequest(base_url=None, model=None), TaskModel(), {"XDG_STATE_HOME": str(tmp_path)})
    assert found is not None
    assert found.base_url == "http://127.0.0.1:9/v1"


def test_an_unreachable_server_is_one_message_and_exit_code_2(task: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", str(task), "--base-url", "http://127.0.0.1:9/v1"]) == 2
    assert capsys.readouterr().err.startswith("agent: No answer from http://127.0.0.1:9/v1/models: ")


def test_a_model_that_the_server_does_not_list_is_asked_for_and_the_user_is_told(
    task: Path, capsys: pytest.CaptureFixture[str]
):
    """Proxies serve aliases and wildcards that they do not list, so the list is no gate."""
    with ScriptedServer([calls(("write_file", {"path": "hello.txt", "content": "hello"})), says("Done.")]) as server:
        assert main(["run", str(task), "--base-url", server.url, "--model", "gpt"]) == 0
        assert {body["model"] for body in server.bodies} == {"gpt"}
    said = "The server was asked for 'gpt' all the same, although its list of models has only scripted"
    assert said in capsys.readouterr().out


def test_a_mistake_in_the_task_is_reported_with_its_line_and_the_nearest_key(
    task: Path, capsys: pytest.CaptureFixture[str]
):
    task.write_text(TASK.replace("verify:", "verfy:"))
    assert main(["validate", str(task)]) == 2
    assert f"{task}:7: " in (printed := capsys.readouterr().err)
    assert "`verify`" in printed


def test_validate_reports_a_valid_task_and_its_tools(task: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["validate", str(task)]) == 0
    assert capsys.readouterr().out == f"{task}: the task 'greet' is valid (write_file).\n"
    assert not (task.parent / "work").exists()


def test_schema_prints_a_json_schema(capsys: pytest.CaptureFixture[str]):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["prompt"]


def test_tools_lists_the_ready_tools_and_prints_one_in_full(capsys: pytest.CaptureFixture[str]):
    assert main(["tools"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.partition("\n\n")[0].splitlines()]
    assert main(["tools", "--json"]) == 0
    assert [tool["name"] for tool in json.loads(capsys.readouterr().out)] == listed
    assert {"edit_file", "list_files", "read_file", "run_shell", "search", "write_file"} < set(listed)
    assert main(["tools", "write_file"]) == 0
    assert json.loads(capsys.readouterr().out)["function"]["name"] == "write_file"


def test_runs_and_show_report_a_past_run(task: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["runs"]) == 0
    assert capsys.readouterr().out.endswith("Start one: agent run task.yaml\n")
    with ScriptedServer(writes("hello")) as server:
        main(["run", str(task), "--base-url", server.url])
    live = capsys.readouterr().out.partition("changed files:")[0]
    assert main(["runs"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "started", "took", "steps", "tokens", "status", "task", "model"]
    name, *_, steps, tokens, status, task_name, model = line.split()
    assert (steps, tokens, status, task_name, model) == ("2", "215", "verified", "greet", "scripted")
    assert main(["show", "last"]) == 0
    assert capsys.readouterr().out == live
    assert main(["show", name[:12]]) == 0
    assert capsys.readouterr().out == live


def test_show_adds_up_what_the_engine_read(task: Path, capsys: pytest.CaptureFixture[str]):
    usages = (Usage(prompt_tokens=1_000, completion_tokens=5, cached_tokens=cached) for cached in (0, 960))
    script = [replace(reply, usage=usage) for reply, usage in zip(writes("hello"), usages, strict=True)]
    with ScriptedServer(script) as server:
        main(["run", str(task), "--base-url", server.url])
    capsys.readouterr()
    assert main(["show", "last"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "the engine read 1,040 of 2,000 prompt tokens (48% were in its cache): 1,000 new; again: 40 not found in its "
        "cache, which keeps whole blocks (1)"
    )


def test_an_unknown_run_is_an_error(capsys: pytest.CaptureFixture[str]):
    assert main(["show", "nope"]) == 2
    assert capsys.readouterr().err.startswith("agent: No run 'nope' in ")


def test_resume_takes_no_task(task: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", str(task), "--resume", "last"]) == 2
    text = "agent: --resume continues a run with its own task. Do not give a task file or folder as well.\n"
    assert capsys.readouterr().err == text


def test_a_run_whose_budget_is_used_up_resumes_with_a_larger_one(task: Path, capsys: pytest.CaptureFixture[str]):
    with ScriptedServer([writes("wrong")[0], *writes("hello")]) as server:
        assert main(["run", str(task), "--base-url", server.url, "--set", "limits.steps=1"]) == 3
        resume = ["run", "--resume", "last", "--base-url", server.url]
        assert main([*resume]) == 3
        assert main([*resume, "--set", "prompt=other"]) == 2
        assert main([*resume, "--set", "limits.steps=many"]) == 2
        assert main([*resume, "--set", "limits.steps=5"]) == 0
    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == (
        "agent: A resumed run keeps its own task, so 'prompt' cannot be changed. Override only limits.*."
    )
    assert errors[1].startswith("agent: `limits.steps` must be ")


def test_a_set_without_a_value_is_refused(task: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", str(task), "--set", "word"]) == 2
    assert capsys.readouterr().err == "agent: --set needs KEY=VALUE, got 'word'.\n"


def test_the_output_file_contains_the_structured_result(task: Path, capsys: pytest.CaptureFixture[str]):
    schema = "{type: object, properties: {bytes: {type: integer}}, required: [bytes]}"
    task.write_text(TASK + f"output: {{schema: {schema}, file: out.json}}\n")
    script = [calls(("write_file", {"path": "hello.txt", "content": "hello"})), calls(("final_result", {"bytes": 5}))]
    with ScriptedServer(script) as server:
        assert main(["run", str(task), "--base-url", server.url]) == 0
    assert json.loads((task.parent / "out.json").read_text()) == {"bytes": 5}


def test_ctrl_c_ends_a_run_with_130_and_a_complete_journal_that_can_be_resumed(task: Path, tmp_path: Path):
    from agent.testing import faults

    with ScriptedServer([writes("hello")[0], faults.stall(), says("Done.")]) as server:
        command = [sys.executable, "-m", "agent", "run", str(task), "--base-url", server.url]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while len(server.bodies) < 2 and running.poll() is None:
            os.sched_yield()
        running.send_signal(signal.SIGINT)
        rest, errors = running.communicate(timeout=20)
        name = rest.split()[1]
        command = f"agent run --resume {name} --base-url {server.url}"
        assert (running.returncode, errors) == (130, f"\nInterrupted. Go on with:\n  {command}\n")
        assert rest.splitlines()[-1].startswith("interrupted  1 steps, 1 calls, ")
        assert main(["run", "--resume", "last", "--base-url", server.url]) == 0


def test_a_closed_output_pipe_is_not_an_error(task: Path):
    found = subprocess.run(
        f"{sys.executable} -m agent schema | head -n 1", shell=True, capture_output=True, text=True, check=False
    )
    assert (found.stdout, found.stderr) == ("{\n", "")


def test_a_verbose_installer_is_shown_with_one_line_every_five_seconds(capsys: pytest.CaptureFixture[str]):
    from agent.cli.progress import ProgressLines
    from serving import Progress

    lines = ProgressLines()
    for second in range(12):
        lines.show(Progress(phase="installing", elapsed_s=float(second), detail=f"package {second}"))
    lines.show(Progress(phase="importing", elapsed_s=11.5, detail="vLLM"))
    assert capsys.readouterr().err.splitlines() == [
        "     0.0 s  installing: package 0",
        "     5.0 s  installing: package 5",
        "    10.0 s  installing: package 10",
        "    11.5 s  importing: vLLM",
    ]


def test_a_name_that_the_terminal_cannot_encode_is_escaped(tmp_path: Path):
    task = tmp_path / "prüfung.yaml"
    task.write_text("name: first\nprompt: Say hello.\n", encoding="utf-8")
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "agent", "validate", task.name]
    found = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == "pr\\xfcfung.yaml: the task 'first' is valid (no tools).\n"
