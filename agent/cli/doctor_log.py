"""`agent doctor --log`: read a log file and print its diagnoses; the diagnosing itself is in serving.doctor."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import sys
import textwrap
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from ..errors import ConfigError

if TYPE_CHECKING:
    from serving.doctor import Diagnosis, LogReading
    from serving.engines.log_summary import LoadSummary, StartSummary

_EVIDENCE_CHARS = 400
_SNIFFED_BYTES = 8192
_ENGINE_NAMES = {"vllm": "vLLM", "sglang": "SGLang"}


def examine_log(file: str, *, engine: str | None, as_json: bool) -> int:
    """Print what is wrong according to a log; return 0 if nothing is, otherwise 1.

    Args:
        file: path of the log. `-` means standard input.
        engine: `vllm` or `sglang`. None means that it is detected.
        as_json: print JSON instead of text.

    Raises:
        ConfigError: the file does not exist, cannot be read, is empty, or is not text.
    """
    from serving.capacity.sizing import EngineName
    from serving.doctor import read_log

    with _opened(file) as lines:
        reading = read_log(lines, engine=cast("EngineName | None", engine))
    print(_json(file, reading) if as_json else "\n".join(_lines(file, reading)))
    return 1 if reading.diagnoses else 0


@contextmanager
def _opened(file: str) -> Generator[TextIO]:
    if file == "-":
        yield _as_text("standard input", io.BufferedReader(cast("io.RawIOBase", sys.stdin.buffer)))
        return
    path = Path(file)
    if not path.exists():
        msg = f"There is no log {file!r}. Pass a file that an engine wrote, or - for standard input."
        raise ConfigError(msg)
    if path.is_dir():
        msg = f"{file!r} is a folder, not a log. Pass a file in it."
        raise ConfigError(msg)
    try:
        with path.open("rb") as raw:
            yield _as_text(repr(file), raw)
    except (OSError, EOFError) as error:
        msg = f"Cannot read {file!r}: {error}. Check that the file is complete and that you may read it."
        raise ConfigError(msg) from error


def _as_text(name: str, raw: io.BufferedReader) -> TextIO:
    """Decompress and decode a log; it is read line by line, never as a whole."""
    zipped = raw.peek(2)[:2] == b"\x1f\x8b"
    source = io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=raw)), _SNIFFED_BYTES) if zipped else raw
    start = source.peek(_SNIFFED_BYTES)[:_SNIFFED_BYTES]
    if not start.strip():
        msg = f"The log {name} is empty. Check that it is the engine's log, and that the engine started."
        raise ConfigError(msg)
    # PowerShell's > writes UTF-16.
    utf16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if b"\0" in start and not utf16:
        msg = f"{name} is not text, so it is not a log. Pass the file that contains the output of the engine."
        raise ConfigError(msg)
    # newline: only \n ends a line, because progress bars write \r within one.
    return io.TextIOWrapper(source, encoding="utf-16" if utf16 else "utf-8-sig", errors="replace", newline="\n")


def _json(file: str, reading: LogReading) -> str:
    return json.dumps({"log": file, **asdict(reading)}, indent=1)


def _lines(file: str, reading: LogReading) -> Iterator[str]:
    name = "standard input" if file == "-" else file
    found = reading.diagnoses
    count = {0: "No problems", 1: "One problem"}.get(len(found), f"{len(found)} problems")
    yield f"{name}: {count} in {reading.lines:,} line{'s' if reading.lines != 1 else ''}."
    if reading.engine is None:
        yield (
            "No line shows which engine wrote this log, so only symptoms that any log shows alike are reported. If an "
            "engine wrote it, pass its name: --engine vllm"
        )
    for number, diagnosis in enumerate(found, start=1):
        yield f"\n{number}. {diagnosis.title}{_occurrences(diagnosis)}"
        yield from _details(diagnosis)
    for note in reading.notes:
        yield f"\nNote: {note.title}"
        yield from _details(note)
    facts = [*_start(reading.start), *_load(reading.load)]
    if facts:
        yield "\nThe log shows:"
        yield from (f"  {fact}" for fact in facts)


def _occurrences(diagnosis: Diagnosis) -> str:
    if diagnosis.ranks > 1:
        return f" (on {diagnosis.ranks} ranks)"
    # Each process logs again what ended a start, so only errors of requests are worth counting.
    return f" ({diagnosis.times} times)" if diagnosis.times > 1 and not diagnosis.fatal else ""


def _details(diagnosis: Diagnosis) -> Iterator[str]:
    evidence = diagnosis.evidence
    shown = evidence if len(evidence) <= _EVIDENCE_CHARS else evidence[:_EVIDENCE_CHARS] + " …"
    yield f"   line {diagnosis.line}: {shown}"
    if diagnosis.cause:
        yield textwrap.fill(diagnosis.cause, 110, initial_indent="   why: ", subsequent_indent="        ")
    # Not wrapped, so that a command can be pasted.
    yield "   fix: " + diagnosis.fix.replace("\n", "\n        ")


def _start(start: StartSummary | None) -> Iterator[str]:
    if start is None:
        return
    version = f" {start.version}" if start.version else ""
    yield f"engine     {_ENGINE_NAMES[start.engine]}{version}" + (
        f", {start.architecture}" if start.architecture else ""
    )
    if start.model:
        yield f"model      {start.model}"
    memory = [
        f"{part} {value:g} GiB"
        for part, value in (
            ("weights", start.weights_gib),
            ("activation", start.activation_gib),
            ("CUDA graphs", start.graph_gib),
            ("left for the KV cache", start.available_kv_gib),
        )
        if value is not None
    ]
    if memory:
        yield f"memory     {', '.join(memory)} (per GPU)"
    if start.kv_tokens is not None:
        concurrent = f", {start.max_concurrency:g} requests" if start.max_concurrency is not None else ""
        of = f" of {start.max_model_len:,} tokens" if concurrent and start.max_model_len is not None else ""
        yield f"KV cache   {start.kv_tokens:,} tokens{concurrent}{of}"
    took = [
        f"{step} {value:.1f} s"
        for step, value in (
            ("reading weights", start.load_s),
            ("compiling", start.compile_s),
            ("capturing graphs", start.capture_s),
            ("everything after the weights", start.init_s),
        )
        if value is not None
    ]
    if took:
        yield f"start      {', '.join(took)}"
    yield f"ready      {'yes, at ' + start.url if start.ready and start.url else 'yes' if start.ready else 'no'}"


def _load(load: LoadSummary | None) -> Iterator[str]:
    if load is None:
        return
    peak = [
        text
        for text, value in (
            (f"{load.running} concurrent requests", load.running),
            (f"{load.waiting} waiting", load.waiting),
            (f"KV cache {load.kv_usage_percent} % full", load.kv_usage_percent),
        )
        if value is not None
    ]
    if load.running:
        yield f"peak       {', '.join(peak)}"
    if load.prefix_hit_percent is not None:
        yield f"prefix     {load.prefix_hit_percent:g} % of the prompt tokens came from the cache"
    if load.acceptance_length is not None:
        yield f"drafting   {load.acceptance_length:g} accepted tokens per step"
