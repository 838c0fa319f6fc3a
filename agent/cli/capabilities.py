"""Tell an endpoint what `agent doctor --url` found its server to refuse, so that a run does not send it in vain.

Nothing is probed here: without an earlier probe, or with one of another model or version, the endpoint stays as it is.
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
    """Return the endpoint with what a probe of its server found; itself if nothing is known that changes anything."""
    from serving.directories import state_dir

    state = state_dir(environ)
    if not (state / "probes").is_dir():
        return endpoint
    from serving.probe import find_report  # only where there was a probe

    key = "" if endpoint.api_key == "none" else endpoint.api_key
    report = find_report(endpoint.base_url, model=endpoint.model, api_key=key, state=state)
    if report is None:
        return endpoint
    able = report.capabilities
    before = endpoint.profile or profile_for(report.model)
    profile = _told(before, able)
    stream = endpoint.stream and able.stream_ok is not False
    if (profile, stream) == (before, endpoint.stream):
        return endpoint
    return replace(endpoint, profile=profile, stream=stream)


def _told(profile: Profile, able: Capabilities) -> Profile:
    # What the probe could not tell (None) is tried, as without a probe.
    return replace(
        profile,
        takes_effort=profile.takes_effort and able.effort_accepted is not False,
        replay_reasoning=profile.replay_reasoning and able.reasoning_replayed is not False,
        surface=Surface(
            strict=able.strict_works is not False,
            required=able.required_works is not False,
            named=able.named_works is not False,
            schema_field=_schema_field(able),
            counts_tokens=able.tokenizer is not False,
        ),
    )


def _schema_field(able: Capabilities) -> SchemaField | None:
    match able.structured_outputs_field:
        case "none":
            return None
        case None:
            return Surface().schema_field
        case field:
            return field
