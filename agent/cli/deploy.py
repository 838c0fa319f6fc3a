"""Run `agent deploy`: write the files with which other programs run the engines of a plan; serving renders them."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .plan_options import add_plan_arguments, plan_from

if TYPE_CHECKING:
    from serving.deploy import Deployment, DeployOptions, RenderedFile

_TARGETS = {
    "compose": "Docker Compose: engines and router on one machine",
    "systemd": "systemd units, for this machine or one engine on each --node",
    "kubernetes": "plain Kubernetes manifests",
    "router": "plain shell scripts, for this machine or one engine on each --node",
    "ray": "a Ray Serve LLM application",
}
# Same as serving.deploy.Policy, which is not imported just for the help text.
_POLICIES = ("sticky_least_loaded", "consistent_hash", "cache_aware", "power_of_two", "round_robin")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent deploy`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "Targets:\n" + "\n".join(f"  {name:11} {what}" for name, what in _TARGETS.items())
    parser.add_argument("target", choices=[*_TARGETS], metavar="TARGET", help="What runs the engines; see below.")
    add_plan_arguments(parser)
    parser.add_argument("--replicas", type=int, metavar="N", help="Number of engines (default: one per --node, or 2).")
    parser.add_argument(
        "--node", action="append", default=[], metavar="NAME", dest="nodes", help="A machine; may be repeated."
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="Output folder (default: ./deploy-TARGET).")
    parser.add_argument("--force", action="store_true", help="Replace files that differ.")
    parser.add_argument("--json", action="store_true", help="Print the files and the next commands as JSON.")
    parser.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help="File with the API key; the output contains only its path."
    )
    parser.add_argument("--hf-token-file", type=Path, metavar="FILE", help="The same, for a Hugging Face token.")
    parser.add_argument("--policy", choices=_POLICIES, default=_POLICIES[0], help="How the router chooses an engine.")
    parser.add_argument("--port", type=int, default=30000, metavar="N", help="Port of the router on 127.0.0.1.")
    parser.add_argument("--image", metavar="NAME", help="Your own engine image, with mistral_common below 1.13.")
    parser.add_argument("--router-image", metavar="NAME", help="Your own router image.")
    parser.add_argument("--python", metavar="PATH", help="systemd: an interpreter with vLLM and vllm-router.")
    parser.add_argument("--served-model-name", metavar="NAME", help="The model's name in requests.")


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    from serving.deploy import render
    from serving.deploy.records import ENGINE_VERSION

    if args.engine == "vllm" and args.engine_version is None:
        args.engine_version = ENGINE_VERSION  # not what happens to be installed here
    deployment = render(args.target, plan_from(args, os.environ), _options(args))
    folder: Path = args.output or Path(f"deploy-{args.target}")
    _write(folder, deployment.files, force=args.force)
    if args.json:
        print(json.dumps(_as_data(folder, deployment), indent=2))
        return 0
    for file in deployment.files:
        print(f"Wrote {folder / file.path}")
    for note in deployment.notes:
        print(f"Note: {note}")
    print(f"Next, in {folder}:")
    for command in deployment.commands:
        print(f"  {command}")
    return 0


def _options(args: argparse.Namespace) -> DeployOptions:
    from serving.deploy import DeployOptions

    given = {
        "engine_image": args.image,
        "router_image": args.router_image,
        "python": args.python,
    }
    return DeployOptions(
        replicas=args.replicas if args.replicas is not None else len(args.nodes) or 2,
        nodes=tuple(args.nodes),
        router_port=args.port,
        policy=args.policy,
        # Absolute, because the rendered files are used from another folder.
        api_key_file=None if args.api_key_file is None else args.api_key_file.absolute(),
        hf_token_file=None if args.hf_token_file is None else args.hf_token_file.absolute(),
        served_model_name=args.served_model_name,
        **{name: value for name, value in given.items() if value is not None},
    )


def _write(folder: Path, files: Sequence[RenderedFile], *, force: bool) -> None:
    """Write all files, or none if one of them exists and differs."""
    from serving import EngineError
    from serving.atomic import write_atomically

    different = [file for file in files if _differs(folder / file.path, file.text)]
    if different and not force:
        names = ", ".join(str(file.path) for file in different)
        raise EngineError(
            f"Cannot write to {str(folder)!r}: existing files differ: {names}.",
            cause="",
            do="Choose another folder with -o, or use --force to overwrite these files.",
        )
    for file in files:
        write_atomically(folder / file.path, file.text, mode=file.mode)


def _differs(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() != text.encode()
    except FileNotFoundError:
        return False


def _as_data(folder: Path, deployment: Deployment) -> dict[str, object]:
    return {
        "files": [str(folder / file.path) for file in deployment.files],
        "commands": list(deployment.commands),
        "notes": list(deployment.notes),
    }
