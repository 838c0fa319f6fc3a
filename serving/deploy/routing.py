"""Make the command of vllm-router from the engines it stands before, each flag with its reason; starts nothing.

Source of the flags: `vllm-router --help`, 0.1.17, 2026-11-23. What is said of its behaviour was tried on that version
with engines that answer, fail, die and come back.
"""

from collections.abc import Sequence
from shlex import quote

from ..engines.command import Flag
from .records import DeployOptions, Place

REQUIREMENT = "vllm-router==0.1.17"
MODULE = ("-P", "-m", "vllm_router.launch_router")

_NOTES = (
    "vllm-router 0.1.17 drops `strict: true` from tools: through it vLLM holds a call to JSON, not to the tool's "
    "schema. Arguments are still validated and mended here.",
    "Whoever reaches the router may add and remove engines, with or without a key: keep it on 127.0.0.1, or let a "
    "proxy pass on /v1 and nothing else.",
)
_NOTES_ON_NODES = (
    "vLLM asks for the key below /v1 only: let a firewall allow nobody but the router's machine to reach the engines.",
    "The files that are named (of keys, and folders of weights) have to lie at the same place on each machine.",
)

_POLICIES = {
    "sticky_least_loaded": "a run stays with one engine by its X-Session-ID; a new one goes where the fewest are",
    "consistent_hash": "a run stays with one engine by its X-Session-ID; which one is up to a hash of it",
    "cache_aware": "by the beginning of the text; few runs with one system prompt all go to the same engine",
    "power_of_two": "the less busy of two engines; steps of a run change engines, which costs its prefix cache",
    "round_robin": "one engine after the other; steps of a run change engines, which costs its prefix cache",
}


def routing_notes(options: DeployOptions) -> tuple[str, ...]:
    """Say what a person should know of engines behind this router."""
    return (*_NOTES, *_NOTES_ON_NODES) if options.nodes else _NOTES


def run_command(options: DeployOptions) -> str:
    """Say how a run finds the router."""
    key = "" if options.api_key_file is None else f'AGENT_API_KEY="$(cat {quote(str(options.api_key_file))})" '
    return f"{key}agent run task.yaml --base-url http://127.0.0.1:{options.router_port}/v1"


def router_flags(places: Sequence[Place], options: DeployOptions, *, host: str) -> tuple[Flag, ...]:
    """List the flags of the router.

    Args:
        places: of the engines.
        options: the policy and the port.
        host: where it listens.
    """
    reach = "only this machine reaches it" if host == "127.0.0.1" else "reached from outside the container"
    return (
        Flag(words=("--host", host), reason=reach),
        Flag(words=("--port", str(options.router_port)), reason="where it listens"),
        Flag(words=("--worker-urls", *(place.url for place in places)), reason="the engines"),
        Flag(words=("--policy", options.policy), reason=_POLICIES[options.policy]),
        # A request is tried five times. With the default of 10 failures no try would go to another engine, and the
        # client sees HTTP 500 twice; with 4 the fifth does. With fewer, one request that an engine answers with 500
        # by itself would take two engines out.
        Flag(words=("--retry-max-retries", "5"), reason="tries of one request; a refused connection fails at once"),
        Flag(words=("--cb-failure-threshold", "4"), reason="below the tries: the last one goes to another engine"),
        Flag(words=("--cb-timeout-duration-secs", "10"), reason="an engine that came back is tried after this"),
        Flag(
            words=("--health-check-interval-secs", "10"), reason="its default of 60 s leaves a dead engine in for 3 min"
        ),
        Flag(words=("--health-failure-threshold", "2"), reason="unhealthy after 20 s without an answer"),
        Flag(
            words=("--worker-startup-timeout-secs", "5400"),
            reason="loading large weights takes up to an hour; its default gives up after 600 s",
        ),
        Flag(words=("--worker-startup-check-interval", "5"), reason="how often it looks whether engines are up"),
    )
