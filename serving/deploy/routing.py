"""Build the flags of vllm-router for a set of engines, each with its reason; starts nothing.

Source of the flags: `vllm-router --help`, 0.1.17, 2026-11-23. Statements about its behaviour were tested on that
version with engines that answer, fail, die and recover.
"""

from collections.abc import Sequence
from shlex import quote

from ..engines.command import Flag
from .records import DeployOptions, Place

REQUIREMENT = "vllm-router==0.1.17"
MODULE = ("-P", "-m", "vllm_router.launch_router")

_NOTES = (
    "vllm-router 0.1.17 drops `strict: true` from tools: behind it, vLLM constrains a call to valid JSON but not to "
    "the tool's schema. The agent still validates and repairs arguments.",
    "Anyone who can reach the router can add and remove engines, with or without a key: keep it on 127.0.0.1, or put "
    "a proxy in front of it that forwards only /v1.",
)
_NOTES_ON_NODES = (
    "vLLM requires the key only below /v1: use a firewall that lets only the router's machine reach the engines.",
    "Key files and folders of weights must have the same path on every machine.",
)

_POLICIES = {
    "sticky_least_loaded": "X-Session-ID keeps a run on one engine; a new run goes to the least loaded one",
    "consistent_hash": "X-Session-ID keeps a run on one engine; a hash of it chooses the engine",
    "cache_aware": "by prompt prefix; a few runs with the same system prompt all go to one engine",
    "power_of_two": "the less busy of two engines; a run's steps change engines and lose the prefix cache",
    "round_robin": "each engine in turn; a run's steps change engines and lose the prefix cache",
}


def routing_notes(options: DeployOptions) -> tuple[str, ...]:
    """Return the notes for users about engines behind this router."""
    return (*_NOTES, *_NOTES_ON_NODES) if options.nodes else _NOTES


def run_command(options: DeployOptions) -> str:
    """Return the command that runs a task through the router."""
    key = "" if options.api_key_file is None else f'AGENT_API_KEY="$(cat {quote(str(options.api_key_file))})" '
    return f"{key}agent run task.yaml --base-url http://127.0.0.1:{options.router_port}/v1"


def router_flags(places: Sequence[Place], options: DeployOptions, *, host: str) -> tuple[Flag, ...]:
    """Build the flags of the router.

    Args:
        places: the locations of the engines.
        options: the policy and the port.
        host: the address to listen on.
    """
    reach = "reachable only from this machine" if host == "127.0.0.1" else "reachable from outside the container"
    return (
        Flag(words=("--host", host), reason=reach),
        Flag(words=("--port", str(options.router_port)), reason="the port it listens on"),
        Flag(words=("--worker-urls", *(place.url for place in places)), reason="the engines"),
        Flag(words=("--policy", options.policy), reason=_POLICIES[options.policy]),
        # A request is tried five times. With the default threshold of 10 failures no try would reach another engine,
        # and the client sees HTTP 500 twice; with 4 the fifth try does. With a lower one, a single request that always
        # gets a 500 would take two engines out of rotation.
        Flag(words=("--retry-max-retries", "5"), reason="tries per request; a refused connection fails at once"),
        Flag(words=("--cb-failure-threshold", "4"), reason="fewer than the tries, so the last uses another engine"),
        Flag(words=("--cb-timeout-duration-secs", "10"), reason="a recovered engine is tried again after this"),
        Flag(
            words=("--health-check-interval-secs", "10"),
            reason="the default of 60 s keeps a dead engine in use for 3 min",
        ),
        Flag(words=("--health-failure-threshold", "2"), reason="unhealthy after 20 s without an answer"),
        Flag(
            words=("--worker-startup-timeout-secs", "5400"),
            reason="loading large weights takes up to an hour; the default gives up after 600 s",
        ),
        Flag(words=("--worker-startup-check-interval", "5"), reason="how often to check whether engines are up"),
    )
