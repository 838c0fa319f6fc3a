"""Render plain Kubernetes manifests: engines as a StatefulSet, the router as a Deployment, keys only by reference."""

import math
from pathlib import PurePosixPath
from shlex import quote

from ..capacity.sizing import Plan
from . import containers
from .containers import flag_items, items
from .placement import ENGINE_PORT, SERVICE
from .quoting import comment, dollars_doubled, yaml_text
from .records import Deployment, Job, RenderedFile
from .routing import routing_notes, run_command

ROUTER = "tramontane-router"
_KEYS = "tramontane"
"""Name of the Secret object with the keys."""
_GIB = 2**30
_NOTE_ON_IMAGES = (
    "A cluster pulls images from a registry: push the built images to yours, and set their registry names in "
    "engine.yaml and router.yaml."
)


def kubernetes(job: Job) -> Deployment:
    """Render the manifests and the Dockerfiles of their images."""
    built = containers.dockerfiles(job.options)
    files = (
        RenderedFile(path=PurePosixPath("engine.yaml"), text=_engine(job)),
        RenderedFile(path=PurePosixPath("router.yaml"), text=_router(job)),
        *built,
    )
    notes = (*([_NOTE_ON_IMAGES] if built else ()), *routing_notes(job.options))
    return Deployment(files=files, commands=_commands(job), notes=notes)


def _engine(job: Job) -> str:
    lines = [
        comment(
            f"{job.plan.request.model.title}: {len(job.replicas)} engine(s), each with its own DNS name, which the"
        ),
        comment("router uses. Plain manifests, because the router in vLLM's Helm chart is a different program."),
        *_ENGINE_SERVICE.splitlines(),
        "---",
        *_ENGINE_POLICY.splitlines(),
        "---",
        *_ENGINE_HEAD.splitlines(),
        f"  replicas: {len(job.replicas)}",
        *_ENGINE_POD.splitlines(),
        f"          image: {yaml_text(job.options.engine_image)}",
        "          command:",
        *items(containers.with_secrets(_secret_names(job), containers.SECRETS), indent="            "),
        "          args:",
        *items(job.engine.program, indent="            "),
        *flag_items(job.engine.flags, indent="            "),
        *_environment(job),
        *_resources(job),
        *_ENGINE_PROBES.splitlines(),
        *_mounts(job),
        *_volumes(job),
    ]
    return "\n".join(lines) + "\n"


def _environment(job: Job) -> list[str]:
    lines = ["          env:"]
    for variable in containers.plain(job.engine):
        value = yaml_text(dollars_doubled(variable.value))
        lines += [
            comment(variable.reason, indent="            "),
            f"            - {{name: {variable.name}, value: {value}}}",
        ]
    return lines


def _resources(job: Job) -> list[str]:
    size = job.plan.request.tensor_parallel_size
    return [
        "          resources:",
        f'            limits: {{nvidia.com/gpu: "{size}"}}',
        f'            requests: {{nvidia.com/gpu: "{size}"}}',
    ]


def _mounts(job: Job) -> list[str]:
    lines = [
        "          volumeMounts:",
        f"            - {{name: cache, mountPath: {containers.CACHE}}}",
        "            - {name: shm, mountPath: /dev/shm}",
        f"            - {{name: secrets, mountPath: {containers.SECRETS}, readOnly: true}}",
    ]
    for number, folder in enumerate(containers.folders(job.plan)):
        lines.append(f"            - {{name: weights-{number}, mountPath: {yaml_text(folder)}, readOnly: true}}")
    return lines


def _volumes(job: Job) -> list[str]:
    lines = [
        "      volumes:",
        comment("NCCL and vLLM's workers use shared memory; a pod has 64 MB by default.", indent="        "),
        "        - {name: shm, emptyDir: {medium: Memory, sizeLimit: 16Gi}}",
        f"        - {{name: secrets, secret: {{secretName: {_KEYS}, defaultMode: 0400}}}}",
    ]
    for number, folder in enumerate(containers.folders(job.plan)):
        lines += [
            comment("A folder on the node: it must exist on every node that may run an engine.", indent="        "),
            f"        - {{name: weights-{number}, hostPath: {{path: {yaml_text(folder)}, type: Directory}}}}",
        ]
    return [
        *lines,
        "  volumeClaimTemplates:",
        comment("One copy of the weights, and vLLM's compiled code; it outlives the pod.", indent="    "),
        "    - metadata: {name: cache}",
        "      spec:",
        "        accessModes: [ReadWriteOnce]",
        f"        resources: {{requests: {{storage: {_storage_gib(job.plan)}Gi}}}}",
    ]


def _storage_gib(plan: Plan) -> int:
    request = plan.request
    weights = request.model.weights[request.weights].total()
    if request.draft is not None:
        weights += request.draft.weights.total()
    # Plus 20 GiB for tokenizer, configuration, and vLLM's compiled code and graphs.
    return math.ceil(weights / _GIB) + 20


def _router(job: Job) -> str:
    port = job.options.router_port
    lines = [
        comment("The router. Inside the cluster it requires no key itself: the engines do."),
        *_router_service(port),
        "---",
        *_ROUTER_POD.splitlines(),
        f"          image: {yaml_text(job.options.router_image)}",
        "          command: [vllm-router]",
        "          args:",
        *flag_items(job.router, indent="            "),
        "          ports:",
        f"            - {{name: http, containerPort: {port}}}",
        *_ROUTER_PROBES.splitlines(),
    ]
    return "\n".join(lines) + "\n"


def _router_service(port: int) -> list[str]:
    return [
        "apiVersion: v1",
        "kind: Service",
        f"metadata: {{name: {ROUTER}}}",
        "spec:",
        f"  selector: {{app: {ROUTER}}}",
        "  ports:",
        f"    - {{name: http, port: {port}, targetPort: http}}",
    ]


def _secret_names(job: Job) -> tuple[str, ...]:
    return tuple(variable.name for variable in containers.secrets(job.engine))


def _commands(job: Job) -> tuple[str, ...]:
    port = job.options.router_port
    builds = [
        f"docker build -t {quote(image)} -f {file.path} ."
        for file in containers.dockerfiles(job.options)
        for image in [job.options.engine_image if "engine" in file.path.name else job.options.router_image]
    ]
    files = " ".join(
        quote(f"--from-file={variable.name}={variable.secret_file}") for variable in containers.secrets(job.engine)
    )
    return (
        *builds,
        f"kubectl create secret generic {_KEYS} {files}",
        "kubectl apply -f engine.yaml -f router.yaml",
        f"kubectl port-forward service/{ROUTER} {port}:{port}",
        run_command(job.options),
    )


_ENGINE_SERVICE = f"""\
apiVersion: v1
kind: Service
metadata: {{name: {SERVICE}}}
spec:
  # Headless: it gives each pod a stable DNS name.
  clusterIP: None
  selector: {{app: {SERVICE}}}
  ports:
    - {{name: http, port: {ENGINE_PORT}}}"""

_ENGINE_POLICY = f"""\
# Only the router can reach the engines (if the cluster's network supports policies).
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {SERVICE}}}
spec:
  podSelector: {{matchLabels: {{app: {SERVICE}}}}}
  policyTypes: [Ingress]
  ingress:
    - from:
        - podSelector: {{matchLabels: {{app: {ROUTER}}}}}
      ports:
        - {{protocol: TCP, port: {ENGINE_PORT}}}"""

_ENGINE_HEAD = f"""\
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: {SERVICE}}}
spec:
  serviceName: {SERVICE}
  # Start all pods at once.
  podManagementPolicy: Parallel"""

_ENGINE_POD = f"""\
  selector: {{matchLabels: {{app: {SERVICE}}}}}
  template:
    metadata: {{labels: {{app: {SERVICE}}}}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 60
      containers:
        - name: engine
          securityContext:
            allowPrivilegeEscalation: false
            capabilities: {{drop: [ALL]}}
            seccompProfile: {{type: RuntimeDefault}}
          ports:
            - {{name: http, containerPort: {ENGINE_PORT}}}"""

_ENGINE_PROBES = """\
          # Loading and compiling take minutes to an hour: 540 times 10 s.
          startupProbe:
            httpGet: {path: /health, port: http}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 540
          readinessProbe:
            httpGet: {path: /health, port: http}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 2
          # 503 means that the engine behind the server is dead: only a restart helps.
          livenessProbe:
            httpGet: {path: /health, port: http}
            periodSeconds: 30
            timeoutSeconds: 10
            failureThreshold: 4"""

_ROUTER_POD = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {ROUTER}}}
spec:
  # One replica, because only one router knows which engine serves a session.
  replicas: 1
  selector: {{matchLabels: {{app: {ROUTER}}}}}
  template:
    metadata: {{labels: {{app: {ROUTER}}}}}
    spec:
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 65534
        seccompProfile: {{type: RuntimeDefault}}
      containers:
        - name: router
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{drop: [ALL]}}"""

_ROUTER_PROBES = """\
          # The router listens once one engine is up. /health fails if any engine is down, /readiness if all are.
          startupProbe:
            httpGet: {path: /liveness, port: http}
            periodSeconds: 10
            failureThreshold: 540
          readinessProbe:
            httpGet: {path: /readiness, port: http}
            periodSeconds: 5
          livenessProbe:
            httpGet: {path: /liveness, port: http}
            periodSeconds: 30"""
