"""Format a plan for a terminal: a verdict, a table, a memory bar, changes to paste; plans nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .plan_json import command_of
from .speed_view import speed_table

if TYPE_CHECKING:
    from serving.capacity.sizing import Plan

_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Style:
    """What the terminal supports."""

    width: int
    """Columns."""
    unicode: bool
    color: bool


def plan_text(plan: Plan, style: Style) -> str:
    """Format one plan."""
    parts = [_colored(_paragraph(_verdict(plan, style), style), plan, style), _table(plan)]
    if plan.request.gpus.gpu.memory_bytes:
        parts.append(_bar(plan, style))
    rest = (_capacity(plan, style), speed_table(plan, style.width), _changes(plan, style), _notes(plan, style))
    parts += [part for part in rest if part]
    return "\n\n".join(parts)


def comparison_text(plans: Sequence[Plan], style: Style, *, context_chosen: bool) -> str:
    """Format the plans of several sets of GPUs as one table, one line each.

    Args:
        plans: plans that differ only in their GPUs, and in the context if it was chosen.
        style: what the terminal supports.
        context_chosen: whether the context was chosen for each set, rather than given for all.
    """
    first = plans[0].request
    given = f", with a context of {first.max_model_len:,} tokens"
    head = (
        f"No GPU was found and none was given, so these are common sets for {first.model.title} in "
        f"{first.weights.upper()}{', each with the context chosen for it' if context_chosen else given}. For the "
        "details of one, use --gpus."
    )
    rows = [("GPUs", "starts", "context", "at once", "KV tokens", "KV GiB", "tok/s")]
    rows += [_comparison_row(plan) for plan in plans]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if n else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    tail = (
        f"tok/s is what one request with a short context decodes, {_compared_speed(plans)}. Activation memory is "
        f"{_compared_source(plans)}."
    )
    return "\n\n".join([_paragraph(head, style), "\n".join(lines), _paragraph(tail, style)])


_GREEN, _YELLOW, _RED = "32", "33", "31"
_STARTS = {"yes": _GREEN, "unsure": _YELLOW, "no": _RED}
# Request lengths in the capacity line; only those up to the context are shown.
_LENGTHS = (8192, 16384, 32768, 65536, 131072, 262144)


def _verdict(plan: Plan, style: Style) -> str:
    request = plan.request
    times = "×" if style.unicode else "x"
    gpu = request.gpus.gpu
    where = f"{request.tensor_parallel_size} {times} {gpu.title}" if gpu.memory_bytes else "the CPU"
    name = f"{request.model.title} in {request.weights.upper()}"
    length = f"{request.max_model_len:,}"
    holds = f"the KV cache holds {plan.kv_tokens:,} tokens, or {plan.concurrency:.2f} requests of {length} at once."
    if plan.starts == "yes":
        return f"{name} starts on {where}: {holds}"
    per = " per GPU" if gpu.memory_bytes else ""
    excess = plan.requested_bytes + plan.taken_before_bytes - gpu.memory_bytes
    if gpu.memory_bytes and excess > 0 and request.kv_cache_memory_bytes is None:
        surely = "does not start" if plan.starts == "no" else "may not start"
        return (
            f"{name} {surely} on {where}: the engine requires its {request.gpu_memory_utilization:g} of each GPU to be "
            f"free, and about {_gib(plan.taken_before_bytes)} GiB are taken before, {_gib(excess)} too many."
        )
    excess += plan.beyond_bytes.likely - plan.taken_before_bytes
    if gpu.memory_bytes and excess > 0 and request.kv_cache_memory_bytes is None:
        return (
            f"{name} probably does not start on {where}, or only the first time: the KV cache fills the engine's "
            f"{request.gpu_memory_utilization:g} of each GPU, and about {_gib(plan.beyond_bytes.likely)} GiB more are "
            f"needed to capture CUDA graphs, {_gib(excess)} too many."
        )
    missing = f"{_gib(plan.missing_bytes)} GiB{per} are missing for one request of {length} tokens"
    if plan.starts == "no":
        return f"{name} does not start on {where}: {missing}."
    if plan.missing_bytes:
        return f"{name} probably does not start on {where}: by the likely estimate, {missing}."
    return f"{name} probably starts on {where}, but not by the high estimate: {holds}"


def _table(plan: Plan) -> str:
    request, gpu, other = plan.request, plan.request.gpus.gpu, plan.activation_bytes
    rows = [
        ("weights", plan.weights_bytes, f"{request.weights.upper()}, {_parts(plan)}"),
        ("activation, buffers, graphs", other.likely, _source(plan)),
        ("KV cache", plan.kv_bytes, f"{plan.kv_bytes_per_token:,} bytes per token, {plan.num_blocks:,} blocks"),
    ]
    if gpu.memory_bytes:
        left = gpu.memory_bytes - plan.requested_bytes
        rows.append(("not used", left, f"utilisation {request.gpu_memory_utilization:g}"))
        rows.append(("total", gpu.memory_bytes, "from the driver" if request.gpus.measured else "from the catalogue"))
    else:
        rows.pop(1)
    label, amount = max(len(row[0]) for row in rows), max(len(_gib(row[1])) for row in rows)
    return "\n".join(
        [
            "GiB per GPU" if gpu.memory_bytes else "GiB",
            *(f"  {name:{label}}  {_gib(size):>{amount}}  {remark}" for name, size, remark in rows),
        ]
    )


def _parts(plan: Plan) -> str:
    request = plan.request
    parts = [
        f"1/{request.tensor_parallel_size} of the model" if request.tensor_parallel_size > 1 else "the whole model"
    ]
    if request.draft:
        parts.append("and its draft")
    if request.model.sees_images:
        parts.append("without vision" if request.language_model_only else "with vision")
    return " ".join(parts)


def _source(plan: Plan) -> str:
    other = plan.activation_bytes
    if plan.measured:
        return "measured at a real start"
    if plan.request.other_bytes is not None:
        return "given"
    return f"estimated: {_gib(other.low)} to {_gib(other.high)}"


def _compared_source(plans: Sequence[Plan]) -> str:
    """Return where the activation memory of several plans is known from."""
    if plans[0].request.other_bytes is not None:
        return "as given by --other-gib"
    from serving.capacity.hardware import gpus_text

    measured = [gpus_text(plan.request.gpus) for plan in plans if plan.measured]
    if len(measured) == len(plans):
        return "measured at real starts"
    others = f"measured for {', '.join(measured)}, and estimated for the others" if measured else "estimated"
    return f"{others}; --gpus shows its range"


def _compared_speed(plans: Sequence[Plan]) -> str:
    """Return where the speeds of several plans are known from."""
    from serving.capacity.hardware import gpus_text

    measured = [gpus_text(plan.request.gpus) for plan in plans if plan.speeds and plan.speeds.measured]
    others = f"measured for {', '.join(measured)} and estimated for the others" if measured else "estimated"
    return f"{others}; --gpus shows its range"


def _bar(plan: Plan, style: Style) -> str:
    total, other = plan.request.gpus.gpu.memory_bytes, plan.activation_bytes.likely
    marks = "█▓░·" if style.unicode else "#+-."
    taken = [plan.weights_bytes, other, max(0, plan.kv_bytes)]
    parts = [*taken, max(0, total - sum(taken))]
    names = ("weights", "activation, buffers, graphs", "KV cache", "not used")
    columns = _columns(parts, style.width - 2)
    line = "".join(mark * count for mark, count in zip(marks, columns, strict=True))
    legend = "  ".join(f"{mark} {name}" for mark, name, size in zip(marks, names, parts, strict=True) if size)
    end = total * len(line) // sum(parts)
    over = [f" {' ' * (end - 1)}{'▲' if style.unicode else '^'} end of GPU memory"] if sum(taken) > total else []
    return "\n".join([f"[{line}]", *over, f" {legend}"])


def _columns(parts: Sequence[int], width: int) -> list[int]:
    """Divide columns among the parts: they fill the width, and each part above 0 gets at least one."""
    total, done, columns = sum(parts), 0, list[int]()
    for part in parts:
        before = sum(columns)
        done += part
        columns.append(max(1 if part else 0, done * width // total - before))
    columns[columns.index(max(columns))] += width - sum(columns)
    return columns


def _capacity(plan: Plan, style: Style) -> str:
    if not plan.num_blocks or plan.starts == "no":
        return ""
    counts = [
        f"{length // 1024}k: {plan.num_blocks // -(-length // plan.request.block_size):,}"
        for length in _LENGTHS
        if length <= plan.request.max_model_len
    ]
    return _paragraph(f"Requests that fit at once, by length: {', '.join(counts)}.", style) if counts else ""


def _changes(plan: Plan, style: Style) -> str:
    if not plan.changes:
        return ""
    lines = ["Changes that would make it fit, cheapest first:"]
    for number, change in enumerate(plan.changes, start=1):
        lines.append(_indented(f"{number}. ", change.what, style))
        # Not wrapped, so that it can be pasted.
        lines.append(f"     {command_of(change.request)}")
    return "\n".join(lines)


def _notes(plan: Plan, style: Style) -> str:
    return "\n".join(_indented("- ", note, style) for note in plan.notes)


def _comparison_row(plan: Plan) -> tuple[str, ...]:
    from serving.capacity.hardware import gpus_text

    request, decode = plan.request, plan.speeds.decode if plan.speeds else ()
    return (
        gpus_text(request.gpus),
        plan.starts,
        f"{request.max_model_len:,}",
        f"{plan.concurrency:.2f}",
        f"{plan.kv_tokens:,}",
        _gib(max(0, plan.kv_bytes)),
        f"{decode[0].tokens_s.likely:.0f}" if decode else "-",
    )


def _paragraph(text: str, style: Style) -> str:
    return textwrap.fill(text, style.width, break_long_words=False, break_on_hyphens=False)


def _indented(mark: str, text: str, style: Style) -> str:
    return textwrap.fill(
        text,
        style.width,
        initial_indent=f"  {mark}",
        subsequent_indent=" " * (2 + len(mark)),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _colored(text: str, plan: Plan, style: Style) -> str:
    return f"\033[{_STARTS[plan.starts]}m{text}\033[0m" if style.color else text


def _gib(size: int) -> str:
    return f"{size / _GIB:.2f}"
