"""Test the pocket model on a real vLLM: install it if missing, start it, send a request with a tool, stop it."""

import json
import os
import urllib.request
from pathlib import Path

import pytest

from serving import pocket_engine
from serving.running.process_group import identify
from tools.files import write_file

pytestmark = pytest.mark.engine


def test_the_pocket_model_calls_a_tool_and_leaves_nothing_running(tmp_path: Path):
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    phases: list[str] = []
    with pocket_engine(environ=environ) as engine:
        record = engine.start(lambda progress: phases.append(progress.phase))
        body = {
            "model": record.model,
            "messages": [{"role": "user", "content": "Write the word quixotic into the file out/word.txt."}],
            "tools": [write_file.definition()],
            "temperature": 0,
            "max_tokens": 100,
        }
        request = urllib.request.Request(
            f"{record.base_url}/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            message = json.load(reply)["choices"][0]["message"]

    (call,) = message["tool_calls"]
    assert call["function"]["name"] == "write_file"
    assert json.loads(call["function"]["arguments"]) == {"path": "out/word.txt", "content": "quixotic"}
    assert list(dict.fromkeys(phases))[-5:] == ["importing", "loading weights", "warming up", "first answer", "ready"]
    assert identify(record.pid) is None
