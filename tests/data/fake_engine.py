"""Fake `python -m vllm…` with the flags of `vllm serve` and vLLM's log lines; MODE selects how it fails.

"" serves; "chats" returns a chat reply; "dies" and "silent" never become ready; "small" dies if the context is above
4096; "refuses" rejects the first request; "cuts" breaks off its answer to it and dies; "stubborn" ignores SIGTERM;
"once" dies at its second start. While the file given by SICK exists, /health answers 503.
"""

import json
import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

if "-c" in sys.argv:  # The caller queries the versions of its packages.
    print(json.dumps({"vllm": "0.32.0", "mistral_common": "1.12.0", "transformers": "5.19.0"}))
    sys.exit()
flags = dict(zip(sys.argv, sys.argv[1:], strict=False))
mode = os.environ.get("MODE", "")
# A worker in its own session: stopping only the process group misses it.
worker = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
pids = Path(os.environ["PIDS"])
with pids.open("a") as written:
    written.write(f"{os.getpid()} {worker.pid}\n")


def end(*_: object) -> None:
    os.write(1, b"(APIServer pid=1) INFO 11-23 15:47:18 [launcher.py:1] Shutting down\n")
    worker.kill()
    worker.wait()
    os._exit(0)


too_long = mode == "small" and int(flags["--max-model-len"]) > 4096
if mode == "dies" or too_long or (mode == "once" and len(pids.read_text().splitlines()) > 1):
    print("(EngineCore pid=2) ERROR 11-23 15:47:18 [core.py:1] ValueError: To serve at least one request with the "
          "model's max seq len (8192), (2.00 GiB KV cache is needed, which is larger than the available KV cache "
          "memory (1.00 GiB). Based on the available memory, the estimated maximum model length is 4096.")  # fmt: skip
    print("(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.", flush=True)
    os._exit(1)
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, end)


class Handler(BaseHTTPRequestHandler):
    """Answers the supervisor's requests."""

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(503 if Path(os.environ.get("SICK", "no such file")).exists() else 200, {})
        elif self.path == "/metrics":
            self.answer(
                200, "vllm:num_requests_running{} 2\nvllm:num_requests_waiting{} 1\nvllm:kv_cache_usage_perc{} 0.25\n"
            )
        else:
            card = {"id": flags.get("--served-model-name", "m"), "object": "model", "owned_by": "fake"}
            self.answer(200, {"data": [{**card, "max_model_len": int(flags.get("--max-model-len", 0))}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        wanted = os.environ.get("VLLM_API_KEY")
        if mode == "cuts":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            os._exit(1)
        if wanted and self.headers["Authorization"] != f"Bearer {wanted}":
            self.answer(401, {"error": "Unauthorized"})
        elif mode == "chats":
            message = {"role": "assistant", "content": "Done."}
            self.answer(200, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        else:
            self.answer(400 if mode == "refuses" else 200, {"asked": body, "error": "no force_tool_names"})

    def answer(self, status: int, value: Any) -> None:
        data = (value if isinstance(value, str) else json.dumps(value)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(value, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Log nothing."""


print("(Worker pid=3) INFO 11-23 15:47:18 [cpu_model_runner.py:68] Starting to load model /m...", flush=True)
if mode == "silent":
    signal.pause()
HTTPServer(("127.0.0.1", int(flags["--port"])), Handler).serve_forever()
