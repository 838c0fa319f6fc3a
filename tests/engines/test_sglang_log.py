"""SGLang's log lines about a start and the load, rendered from the source of SGLang 0.5.23, not recorded."""

import pytest

from serving.doctor import read_log
from serving.engines.log_summary import LoadSummary, StartFact, StartSummary
from serving.engines.sglang.log import read_start_line, start_summary

LOG = """\
[2026-11-23 10:00:00] server_args=ServerArgs(model_path='/models/medium', tokenizer_path='/models/medium', tp_size=2)
[2026-11-23 10:00:10 TP0] Load weight begin. avail mem=78.20 GB
[2026-11-23 10:00:10 TP1] Load weight begin. avail mem=78.20 GB
[2026-11-23 10:01:10 TP0] Load weight end. elapsed=60.00 s, type=Mistral3ForConditionalGeneration, avail mem=46.00 GB, \
mem usage=32.20 GB.
[2026-11-23 10:01:11 TP1] Load weight end. elapsed=61.00 s, type=Mistral3ForConditionalGeneration, avail mem=46.00 GB, \
mem usage=32.10 GB.
[2026-11-23 10:01:12 TP0] Memory pool end. avail mem=12.10 GB
[2026-11-23 10:01:30 TP0] Capture decode CUDA graph end. elapsed=17.50 s, mem usage=1.20 GB, avail mem=10.90 GB.
[2026-11-23 10:01:31 TP0] max_total_num_tokens=365000, chunked_prefill_size=8192, max_prefill_tokens=16384, \
max_running_requests=2048, context_len=262144, available_gpu_mem=10.90 GB
[2026-11-23 10:01:33] INFO:     Uvicorn running on http://127.0.0.1:30000 (Press CTRL+C to quit)
[2026-11-23 10:01:35] The server is fired up and ready to roll!
[2026-11-23 10:02:00 TP0] Prefill batch, #new-seq: 1, #new-token: 900, #cached-token: 0, token usage: 0.00, \
#running-req: 0, #queue-req: 4
[2026-11-23 10:02:01 TP0] Decode batch, #running-req: 9, #token: 9000, token usage: 0.02, accept len: 1.72, \
accept rate: 0.57, cuda graph: True, #queue-req: 0
"""


def test_the_summary_of_a_start():
    assert start_summary(LOG.splitlines()) == StartSummary(
        engine="sglang",
        model="/models/medium",
        architecture="Mistral3ForConditionalGeneration",
        max_model_len=262144,
        max_num_batched_tokens=8192,
        weights_gib=32.2,
        graph_gib=1.2,
        kv_tokens=365000,
        load_s=61.0,
        capture_s=17.5,
        url="http://127.0.0.1:30000",
        ready=True,
    )


def test_a_healthy_log_of_sglang_is_detected_and_has_no_diagnosis():
    reading = read_log(LOG)

    assert (reading.engine, reading.diagnoses) == ("sglang", ())
    assert reading.load == LoadSummary(running=9, waiting=4, acceptance_length=1.72)


def test_a_fix_for_sglang_contains_its_own_flags():
    log = LOG[: LOG.index("[2026-11-23 10:01:12")] + (
        "[2026-11-23 10:01:12 TP1] Scheduler hit an exception: Traceback (most recent call last):\n"
        '  File "pool_configurator.py", line 99, in configure\n'
        "    raise RuntimeError(msg)\n"
        "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static. Current value: "
        "mem_fraction_static=0.63384\n"
        "[2026-11-23 10:01:13] Received sigquit from a child process. It usually means the child failed.\n"
    )

    (diagnosis,) = read_log(log).diagnoses

    assert diagnosis.symptom == "sglang_no_memory"
    assert (
        diagnosis.cause
        == "SGLang may use 0.63384 of the GPU for weights and cache, and the weights alone take all of it."
    )
    assert (
        diagnosis.fix == "Start with `--mem-fraction-static 0.85 --context-length 32768`, or use more GPUs "
        "(`--tp-size`)."
    )


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        (LOG.splitlines()[0], StartFact(phase="importing", detail="SGLang: reading the settings")),
        (LOG.splitlines()[1], StartFact(phase="loading weights", detail="reading the checkpoint, 78.20 GB are free")),
        (
            LOG.splitlines()[3],
            StartFact(phase="loading weights", detail="weights read in 60.00 s, they take 32.20 GB"),
        ),
        (LOG.splitlines()[5], StartFact(phase="warming up", detail="KV cache allocated, 12.10 GB are free")),
        (LOG.splitlines()[7], StartFact(phase="warming up", detail="KV cache holds 365000 tokens")),
        (LOG.splitlines()[9], StartFact(phase="warming up", detail="server starts")),
        (LOG.splitlines()[10], None),
    ],
)
def test_a_log_line_shows_the_progress_of_the_start(line: str, fact: StartFact | None):
    assert read_start_line(line) == fact
