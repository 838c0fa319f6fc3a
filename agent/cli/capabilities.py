"""Apply the stored result of `agent doctor --url` to an endpoint, so that a run sends nothing its server refuses.

Nothing is probed here: without a stored result, or with one of another model or version, the endpoint is unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ..model.endpoint import Endpoint
from ..model.profiles import Profile, SchemaField, Surface, profile_for

if TYPE_CHECKING:
    from serving.probe import Capabilities


def with_capabilities(endpoint: Endpoint, environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint without what its server is known to refuse; the same object if nothing changes."""
    from serving.directories import state_dir

    state = state_dir(environ)
    if not (state / "probes").is_dir():
        return endpoint
    from serving.probe import find_report  # only if something was ever probed

    key = "" if endpoint.api_key == "none" else endpoint.api_key
    report = find_report(endpoint.base_url, model=endpoint.model, api_key=key, state=state)
    if report is None:
        return endpoint
    found = report.capabilities
    before = endpoint.profile or profile_for(report.model)
    profile = _restricted(before, found)
    stream = endpoint.stream and found.stream_ok is not False
    if (profile, stream) == (before, endpoint.stream):
        return endpoint
    return replace(endpoint, profile=profile, stream=stream)


def _restricted(profile: Profile, found: Capabilities) -> Profile:
    # None means that the probe got no result; the feature is then used, as without a probe.
    return replace(
        profile,
        # The probe asks at `none` and `high`, so it says nothing about a model that does not know `none`.
        efforts=() if found.effort_accepted is False and "none" in profile.efforts else profile.efforts,
        replay_reasoning=profile.replay_reasoning and found.reasoning_replayed is not False,
        surface=Surface(
            strict=found.strict_works is not False,
            required=found.required_works is not False,
            named=found.named_works is not False,
            schema_field=_schema_field(found),
            counts_tokens=found.tokenizer is not False,
        ),
    )


def _schema_field(found: Capabilities) -> SchemaField | None:
    match found.structured_outputs_field:
        case "none":
            return None
        case None:
            return Surface().schema_field
        case field:
            return field
