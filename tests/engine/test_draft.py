"""Test the pocket model with its draft on a real vLLM: it starts, drafts as our network predicts, is probed, stops."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.tooling.toolbox import Toolbox
from serving import ServerRecord, pocket_engine
from serving.directories import cache_dir
from serving.probe import ProbeReport, probe
from serving.readiness.install import ensure_installed
from serving.running.marks import find_marked
from serving.running.process_group import identify
from tools.files import read_file, write_file

pytestmark = pytest.mark.engine

MIN_LENGTH = 1.5
"""Tokens per pass; a useless draft gives 1.0, a perfect one 4."""
WORDS = ("quixotic", "harbour", "pamphlet", "glacier", "walnut", "sextant", "orchard", "lantern", "thimble", "magpie")
OFFLINE = """
import json, sys
import torch
from safetensors.torch import load_file
from serving.pocket import draft_dir, model_dir
from pocket.drafting import acceptance

torch.set_num_threads(1)
model, draft = (
    {name: weight.float() for name, weight in load_file(folder / "consolidated.safetensors").items()}
    for folder in (model_dir(), draft_dir())
)
batches = [
    (torch.tensor([prompt + reply]), torch.tensor([[False] * len(prompt) + [True] * len(reply)]))
    for prompt, reply in json.load(sys.stdin)
]
found = acceptance(torch, model, draft, batches)
print(json.dumps([found.drafts, *found.accepted]))
"""


@dataclass(frozen=True, kw_only=True)
class Drafted:
    """An engine's replies and its counters for them."""

    written: list[tuple[list[int], list[int]]]
    """Tokens of each prompt and its reply."""
    drafts: int
    accepted: tuple[int, ...]
    """Accepted tokens by position in the draft."""
    phases: list[str]
    """Phases of its start that it reported, without repetitions."""
    probed: ProbeReport
    record: ServerRecord
    """What is stopped now."""


@pytest.fixture(scope="module")
def drafted(tmp_path_factory: pytest.TempPathFactory) -> Drafted:
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}
    phases: list[str] = []
    with pocket_engine(draft="eagle", environ=environ) as engine:
        record = engine.start(lambda progress: phases.append(progress.phase))
        url = record.base_url
        before = counts(url)
        written = [ask(url, word) for word in WORDS]
        drafts, *accepted = (after - earlier for earlier, after in zip(before, counts(url), strict=True))
        probed = probe(url)
    return Drafted(
        written=written,
        drafts=drafts,
        accepted=tuple(accepted),
        phases=list(dict.fromkeys(phases)),
        probed=probed,
        record=record,
    )


def ask(url: str, word: str) -> tuple[list[int], list[int]]:
    body: dict[str, Any] = {
        "model": "pocket",
        "messages": [{"role": "user", "content": f"Write the word {word} into the file out/{word}.txt."}],
        # Not strict: a grammar would remove the drafts that it forbids before they are counted.
        "tools": json.loads(Toolbox([read_file, write_file], family="pocket").loose_definitions),
        "temperature": 0,
        "max_tokens": 200,
        "return_token_ids": True,
    }
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as reply:
        found = json.load(reply)
    return found["prompt_token_ids"], found["choices"][0]["token_ids"]


def counts(url: str) -> list[int]:
    """Return the number of drafts since the start and of accepted tokens per position in a draft."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/metrics", timeout=30) as reply:
        text = reply.read().decode()
    drafts = re.findall(r"^vllm:spec_decode_num_drafts_total\{.*\} (\S+)$", text, re.M)
    by_position = re.findall(
        r'^vllm:spec_decode_num_accepted_tokens_per_pos_total\{.*position="(\d+)".*\} (\S+)$', text, re.M
    )
    return [int(float(count)) for count in (*drafts, *(count for _, count in sorted(by_position)))]


def test_a_start_reports_its_phases_and_a_stop_leaves_nothing_running(drafted: Drafted):
    assert drafted.phases[-5:] == ["importing", "loading weights", "warming up", "first answer", "ready"]
    assert identify(drafted.record.pid) is None
    assert find_marked(drafted.record.mark) == ()


def test_the_probe_reads_the_acceptance_of_a_draft(drafted: Drafted):
    assert {check.check for check in drafted.probed.checks if check.verdict == "broken"} == set()
    (found,) = (check for check in drafted.probed.checks if check.check == "speculative")
    assert re.match(r"acceptance length [1-4]\.\d\d over [1-9]\d+ drafts", found.detail)


def test_an_average_pass_writes_more_than_one_token(drafted: Drafted):
    assert drafted.drafts > 0
    assert 1 + sum(drafted.accepted) / drafted.drafts > MIN_LENGTH


def test_the_trained_network_is_the_one_that_vllm_runs(drafted: Drafted):
    """At temperature 0 both accept the same tokens, except for ties in bfloat16 and tokens after a reply's end."""
    python = ensure_installed(cache_dir(), on_detail=lambda _: None)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [str(python), "-c", OFFLINE],
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'tests' / 'bench'}"},
        input=json.dumps(drafted.written),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    drafts, *accepted = json.loads(done.stdout)

    ties = 3 + drafts // 50
    assert abs(drafted.drafts - drafts) <= ties
    # vLLM also counts right tokens after a reply's last token, at most one per reply and position.
    for ours, theirs in zip(accepted, drafted.accepted, strict=True):
        assert -ties <= theirs - ours <= ties + len(WORDS)
