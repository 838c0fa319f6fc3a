"""`agent doctor --log`: read a log file and show what the doctor says of it; diagnoses nothing itself."""

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
_NAMES = {"vllm": "vLLM", "sglang": "SGLang"}


def examine_log(file: str, *, engine: str | None, as_json: bool) -> int:
    """Read a log and print what is wrong; 0: nothing is, 1: something is.

    Args:
        file: where it lies; `-`: standard input.
        engine: `vllm` or `sglang`. None: it is recognised.
        as_json: print JSON instead of text.

    Raises:
        ConfigError: there is no such file, it cannot be read, it is empty, or it is no text.
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
        msg = f"There is no log {file!r}. Name a file that an engine wrote, or - for standard input."
        raise ConfigError(msg)
    if path.is_dir():
        msg = f"{file!r} is a folder, not a log. Name a file in it."
        raise ConfigError(msg)
    try:
        with path.open("rb") as raw:
            yield _as_text(repr(file), raw)
    except (OSError, EOFError) as error:
        msg = f"Cannot read {file!r}: {error}. Is it a whole file, and may you read it?"
        raise ConfigError(msg) from error


def _as_text(name: str, raw: io.BufferedReader) -> TextIO:
    """Unpack and decode a log; it is read line by line, never as a whole."""
    zipped = raw.peek(2)[:2] == b"\x1f\x8b"
    source = io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=raw)), _SNIFFED_BYTES) if zipped else raw
    start = source.peek(_SNIFFED_BYTES)[:_SNIFFED_BYTES]
    if not start.strip():
        msg = f"The log {name} is empty. Is it the engine's log, and did the engine start at all?"
        raise ConfigError(msg)
    # What PowerShell's > writes.
    utf16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if b"\0" in start and not utf16:
        msg = f"{name} is no text, so it is no log. Name the file that holds what the engine printed."
        raise ConfigError(msg)
    # newline: only \n ends a line, since a progress bar writes \r within one.
    return io.TextIOWrapper(source, encoding="utf-16" if utf16 else "utf-8-sig", errors="replace", newline="\n")


def _json(file: str, reading: LogReading) -> str:
    return json.dumps({"log": file, **asdict(reading)}, indent=1)


def _lines(file: str, reading: LogReading) -> Iterator[str]:
    name = "standard input" if file == "-" else file
    found = reading.diagnoses
    many = {0: "Nothing wrong found", 1: "One problem"}.get(len(found), f"{len(found)} problems")
    yield f"{name}: {many} in {reading.lines:,} line{'s' if reading.lines != 1 else ''}."
    if reading.engine is None:
        yield (
            "No line shows an engine, so only what any log would mean alike is told; if it is one's, name it: "
            "--engine vllm"
        )
    for number, diagnosis in enumerate(found, start=1):
        yield f"\n{number}. {diagnosis.title}{_often(diagnosis)}"
        yield from _told(diagnosis)
    for note in reading.notes:
        yield f"\nGood to know: {note.title}"
        yield from _told(note)
    facts = [*_start(reading.start), *_load(reading.load)]
    if facts:
        yield "\nThe log says:"
        yield from (f"  {fact}" for fact in facts)


def _often(diagnosis: Diagnosis) -> str:
    if diagnosis.ranks > 1:
        return f" (on {diagnosis.ranks} ranks)"
    # What ends a start is told by each process that it goes through; only requests are worth counting.
    return f" ({diagnosis.times} times)" if diagnosis.times > 1 and not diagnosis.fatal else ""


def _told(diagnosis: Diagnosis) -> Iterator[str]:
    evidence = diagnosis.evidence
    shown = evidence if len(evidence) <= _EVIDENCE_CHARS else evidence[:_EVIDENCE_CHARS] + " …"
    yield f"   line {diagnosis.line}: {shown}"
    if diagnosis.cause:
        yield textwrap.fill(diagnosis.cause, 110, initial_indent="   why: ", subsequent_indent="        ")
    # Not wrapped: a command is to be pasted as it stands.
    yield "   fix: " + diagnosis.fix.replace("\n", "\n        ")


def _start(start: StartSummary | None) -> Iterator[str]:
    if start is None:
        return
    version = f" {start.version}" if start.version else ""
    yield f"engine     {_NAMES[start.engine]}{version}" + (f", {start.architecture}" if start.architecture else "")
    if start.model:
        yield f"model      {start.model}"
    memory = [
        f"{what} {value:g} GiB"
        for what, value in (
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
        at_once = f", {start.max_concurrency:g} requests" if start.max_concurrency is not None else ""
        of = f" of {start.max_model_len:,} tokens" if at_once and start.max_model_len is not None else ""
        yield f"KV cache   {start.kv_tokens:,} tokens{at_once}{of}"
    took = [
        f"{what} {value:.1f} s"
        for what, value in (
            ("reading weights", start.load_s),
            ("compiling", start.compile_s),
            ("capturing graphs", start.capture_s),
            ("all after the weights", start.init_s),
        )
        if value is not None
    ]
    if took:
        yield f"start      {', '.join(took)}"
    yield f"ready      {'yes, at ' + start.url if start.ready and start.url else 'yes' if start.ready else 'no'}"


def _load(load: LoadSummary | None) -> Iterator[str]:
    if load is None:
        return
    at_most = [
        text
        for text, value in (
            (f"{load.running} requests at once", load.running),
            (f"{load.waiting} waiting", load.waiting),
            (f"KV cache {load.kv_usage_percent} % full", load.kv_usage_percent),
        )
        if value is not None
    ]
    if load.running:
        yield f"at most    {', '.join(at_most)}"
    if load.prefix_hit_percent is not None:
        yield f"prefix     {load.prefix_hit_percent:g} % of the prompt tokens came from the cache"
    if load.acceptance_length is not None:
        yield f"drafting   {load.acceptance_length:g} tokens per step accepted"
