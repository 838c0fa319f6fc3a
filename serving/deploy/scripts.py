"""Render plain shell scripts: one per engine and one for the router."""

from pathlib import PurePosixPath
from shlex import quote

from ..engines.command import Flag
from .containers import EMPTY
from .quoting import comment
from .records import Deployment, Job, RenderedFile, Replica
from .routing import REQUIREMENT, routing_notes, run_command

_NOTE = "Each script runs in the foreground: start each in its own terminal."


def scripts(job: Job) -> Deployment:
    """Render the scripts; each runs in the foreground and ends with the program it started."""
    engines = tuple(
        RenderedFile(path=PurePosixPath(f"{replica.place.name}.sh"), text=_engine(job, replica), mode=0o755)
        for replica in job.replicas
    )
    router = RenderedFile(path=PurePosixPath("router.sh"), text=_router(job), mode=0o755)
    return Deployment(files=(*engines, router), commands=_commands(job), notes=(_NOTE, *routing_notes(job.options)))


def _engine(job: Job, replica: Replica) -> str:
    where = f"on {replica.place.name}" if job.options.nodes else "on this machine"
    lines = [
        "#!/bin/sh",
        comment(f"{job.plan.request.model.title}, one engine {where}. Needs: vllm==0.33.0"),
        comment("and 'mistral_common[image]>=1.11.6,<1.13': later versions break its tool parser."),
        "set -eu",
        "",
    ]
    if replica.place.gpus:
        lines += [
            comment("This engine's GPUs."),
            f"export CUDA_VISIBLE_DEVICES={','.join(map(str, replica.place.gpus))}",
        ]
    for variable in replica.command.environment:
        lines.append(comment(variable.reason))
        if variable.secret_file is None:
            lines.append(f"export {variable.name}={quote(variable.value)}")
        else:
            # Two commands, because `export` alone would hide a failure to read the file.
            lines += [
                f'{variable.name}="$(cat {quote(str(variable.secret_file))})"',
                f': "${{{variable.name}:?{EMPTY}}}"',
                f"export {variable.name}",
            ]
    return _script(lines, replica.command.program, replica.command.flags)


def _router(job: Job) -> str:
    lines = ["#!/bin/sh", comment(f"The router in front of the engines. Needs: {REQUIREMENT}"), "set -eu"]
    return _script(lines, ("vllm-router",), job.router)


def _script(head: list[str], program: tuple[str, ...], flags: tuple[Flag, ...]) -> str:
    lines = [*head, "", f"set -- {_words(program)}"]
    for flag in flags:
        lines += [comment(flag.reason), f'set -- "$@" {_words(flag.words)}']
    return "\n".join([*lines, "", 'exec "$@"']) + "\n"


def _words(words: tuple[str, ...]) -> str:
    return " ".join(quote(word) for word in words)


def _commands(job: Job) -> tuple[str, ...]:
    def start(replica: Replica) -> str:
        script = f"{replica.place.name}.sh"
        # -t gives the engine a terminal, so ending ssh ends it too; ssh allocates none if its input is a file.
        node = replica.place.name
        return f"scp {script} {node}: && ssh -t {node} sh {script}" if job.options.nodes else f"./{script}"

    return (
        *(start(replica) for replica in job.replicas),
        "./router.sh",
        run_command(job.options),
    )
