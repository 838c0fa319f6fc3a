"""Render systemd units: a template for engines, with one instance per port, and a unit for the router."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from shlex import quote

from ..engines.command import Flag, Variable
from . import containers
from .quoting import comment, systemd_value, systemd_word
from .records import Deployment, Job, Place, RenderedFile
from .routing import MODULE, REQUIREMENT, routing_notes, run_command

ENGINE = "tramontane-engine@.service"
ROUTER = "tramontane-router.service"
_SETTINGS = "/etc/tramontane"

_HARDENING = """\
# A dynamic user that exists while a unit runs; both kinds of unit share its cache.
User=tramontane
DynamicUser=yes
CacheDirectory=tramontane
Environment="HOME=%C/tramontane"
NoNewPrivileges=yes
ProtectSystem=strict
# Weights may be in a user's home folder.
ProtectHome=read-only
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
CapabilityBoundingSet=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
UMask=0077"""
# Not included: PrivateDevices (hides the GPUs) and MemoryDenyWriteExecute (CUDA compiles at run time).

_LIFE = """\
# Restart after a crash; a unit that fails four times in half an hour has a wrong setting and stays down.
Restart=on-failure
RestartSec=10
# SIGTERM to the server, then SIGKILL to the remaining processes, its workers included.
KillMode=mixed
TimeoutStopSec=60"""


def systemd(job: Job) -> Deployment:
    """Render the units and, if several engines share this machine, a file with the GPUs of each."""
    files = [
        RenderedFile(path=PurePosixPath(ENGINE), text=_engine(job)),
        RenderedFile(path=PurePosixPath(ROUTER), text=_router(job)),
        *(_gpus(replica.place) for replica in job.replicas if replica.place.gpus),
    ]
    return Deployment(files=tuple(files), commands=_commands(job), notes=routing_notes(job.options))


def _engine(job: Job) -> str:
    secrets = [variable.name for variable in containers.secrets(job.engine)]
    start = (job.options.python, *job.engine.module)
    if secrets:
        start = (*containers.with_secrets(secrets, "$CREDENTIALS_DIRECTORY"), *start)
    return f"""\
{comment(f"{job.plan.request.model.title}: one engine; the instance name is its port.")}
{comment(f"The environment of {job.options.python} needs vllm==0.33.0 and")}
{comment("'mistral_common[image]>=1.11.6,<1.13': later versions break its tool parser.")}
[Unit]
Description=Engine on port %i
After=network-online.target
Wants=network-online.target
{_limit()}

[Service]
# The server answers only minutes later: check /health or `journalctl -u`.
Type=exec
{_variables(containers.plain(job.engine))}\
{_credentials(containers.secrets(job.engine))}\
# Sets the GPUs if several engines share a machine.
EnvironmentFile=-{_SETTINGS}/engine-%i.env
ExecStart={_command(start, [_instance_flag(flag) for flag in job.engine.flags])}
{_LIFE}
# Pinned memory for transfers to the GPUs.
LimitMEMLOCK=infinity
{_HARDENING}

[Install]
WantedBy=multi-user.target
"""


def _router(job: Job) -> str:
    start = (job.options.python, *MODULE)
    return f"""\
{comment(f"The router in front of the engines. The environment of {job.options.python} needs {REQUIREMENT}.")}
[Unit]
Description=Router in front of the engines
After=network-online.target
Wants=network-online.target
{_limit()}

[Service]
Type=exec
ExecStart={_command(start, [_flag(flag) for flag in job.router])}
{_LIFE}
{_HARDENING}

[Install]
WantedBy=multi-user.target
"""


def _limit() -> str:
    return "StartLimitIntervalSec=30min\nStartLimitBurst=4"


def _command(start: Sequence[str], flags: Sequence[str]) -> str:
    # In the program's path, `$` is literal: systemd.service(5).
    words = [f'"{systemd_value(start[0])}"', *(systemd_word(word) for word in start[1:])]
    return " \\\n".join([" ".join(words), *flags])


def _flag(flag: Flag) -> str:
    # Comments between continued lines are skipped: systemd.syntax(7).
    return f"{comment(flag.reason)}\n  {' '.join(systemd_word(word) for word in flag.words)}"


def _instance_flag(flag: Flag) -> str:
    # The only argument that differs between instances.
    return f"{comment(flag.reason)}\n  --port %i" if flag.words[0] == "--port" else _flag(flag)


def _variables(variables: Sequence[Variable]) -> str:
    return "".join(
        f'{comment(variable.reason)}\nEnvironment="{variable.name}={systemd_value(variable.value)}"\n'
        for variable in variables
    )


def _credentials(variables: Sequence[Variable]) -> str:
    return "".join(
        f"{comment(variable.reason)}\nLoadCredential={variable.name}:{str(variable.secret_file).replace('%', '%%')}\n"
        for variable in variables
    )


def _gpus(place: Place) -> RenderedFile:
    text = f"CUDA_VISIBLE_DEVICES={','.join(map(str, place.gpus))}\n"
    return RenderedFile(path=PurePosixPath(f"engine-{place.port}.env"), text=text)


def _commands(job: Job) -> tuple[str, ...]:
    if job.options.nodes:
        engines = [
            f"scp {ENGINE} root@{replica.place.name}:/etc/systemd/system/ && "
            f"ssh root@{replica.place.name} systemctl enable --now tramontane-engine@{replica.place.port}"
            for replica in job.replicas
        ]
    else:
        numbers = " ".join(f"tramontane-engine@{replica.place.port}" for replica in job.replicas)
        engines = [
            f"sudo install -D -m 644 -t {quote(_SETTINGS)} engine-*.env",
            f"sudo install -m 644 -t /etc/systemd/system {ENGINE}",
            f"sudo systemctl enable --now {numbers}",
        ]
    return (
        *engines,
        f"sudo install -m 644 -t /etc/systemd/system {ROUTER}",
        "sudo systemctl enable --now tramontane-router",
        run_command(job.options),
    )
