"""Any OpenAI-compatible server, such as Ollama or llama.cpp on a Mac.

Run: python examples/11_any_server.py [URL] [MODEL], such as
http://127.0.0.1:11434/v1 qwen3:8b   after `ollama serve`, or
http://127.0.0.1:8080/v1             after `llama-server -m model.gguf --jinja -c 32768`.
"""

import logging
import sys

from agent import Agent, Endpoint, EndpointError, ModelSettings, tool


@tool(read_only=True)
def length(text: str) -> int:
    """Return the number of letters of a text."""
    return len(text)


def main(url: str = "http://127.0.0.1:11434/v1", model: str | None = None) -> int:
    """Ask a small question; return an exit code."""
    logging.basicConfig(level=logging.INFO)  # retries, notices and what the server does not support are logged
    agent = Agent(
        Endpoint(url, model=model, patience_s=60),
        # What the server refuses is left out of the next request and remembered; nothing has to be set for it.
        tools=[length],
        model_settings=ModelSettings(temperature=0.2, seed=1),
        fallback=["http://127.0.0.1:8080/v1"],
    )
    try:
        outcome = agent.run_sync("How many letters has 'tramontane'? Use the tool.")
    except EndpointError as error:
        print(error)
        return 2
    print(f"{outcome.status}: {outcome.answer}")
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
