"""Decide what the next start of a configuration takes besides weights and KV cache: given, measured or estimated."""

from .beyond_share import taken_before, taken_beyond
from .overhead import compiles, estimate_overhead
from .sizing import ByteRange, Overhead, PlanRequest, StartMeasurement


def expected_overhead(request: PlanRequest, measurement: StartMeasurement | None) -> Overhead:
    """Return what the next start takes: as given, else as measured, else as estimated.

    Args:
        request: the configuration.
        measurement: a real start of it. None means that none is known, so that the next start is the first.
    """
    before, beyond = taken_before(request), taken_beyond(request)
    if request.other_bytes is not None:
        return Overhead(share=_exactly(request.other_bytes), before=before, beyond=beyond)
    if measurement is None:
        compiled = not compiles(request)
        return Overhead(
            share=estimate_overhead(request, compiled=compiled), before=before, beyond=beyond, compiled=compiled
        )
    if measurement.compiled is not False:
        return Overhead(share=_exactly(measurement.other_bytes), before=before, beyond=beyond, measurement=measurement)
    # That start compiled, and the next one finds its graphs; the difference is estimated.
    first = estimate_overhead(request, compiled=False)
    later = estimate_overhead(request, compiled=True)
    known = measurement.other_bytes - first.likely
    share = ByteRange(low=known + later.low, likely=known + later.likely, high=measurement.other_bytes)
    return Overhead(share=share, before=before, beyond=beyond, measurement=measurement)


def later_bytes(request: PlanRequest, overhead: Overhead) -> int:
    """Return what a start takes from the share that finds the compiled graphs; `overhead` is of the next start."""
    return overhead.share.likely if overhead.compiled else estimate_overhead(request, compiled=True).likely


def _exactly(size: int) -> ByteRange:
    return ByteRange(low=size, likely=size, high=size)
