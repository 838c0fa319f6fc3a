"""Find a model's files on this disk and say how to fetch just one layout of them; fetches nothing.

A repository of Mistral's holds the same weights twice: `consolidated*.safetensors` with `params.json`, and
`model*.safetensors` with `config.json`. Fetching both costs twice the disk and the time.
"""

import json
import re
import shlex
from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..capacity.sizing import EngineName

Layout = Literal["mistral", "hf"]
"""Which of the two."""


@dataclass(frozen=True, kw_only=True)
class FoundWeights:
    """What is on this disk of one model."""

    name: str
    """On the Hub, or a folder."""
    layout: Layout
    folder: Path | None
    """Where the files are. None: nothing of it is here."""
    missing: tuple[str, ...]
    """Files that the engine needs and that are not there. Without any file it is not known which: then empty."""
    there_bytes: int
    """Weights that are there already."""
    whole_bytes: int
    """All weights of the layout, as published."""

    @property
    def complete(self) -> bool:
        """Tell whether nothing needs to be fetched."""
        return self.folder is not None and not self.missing

    @property
    def needed_bytes(self) -> int:
        """How much is still to be fetched."""
        return 0 if self.complete else max(0, self.whole_bytes - self.there_bytes)

    @property
    def fetch(self) -> str:
        """The command that fetches this layout and not the other."""
        other = {"mistral": "model*", "hf": "consolidated*"}[self.layout]
        return f"hf download {self.name} --exclude {shlex.quote(other)}"


def layout_for(name: str, engine: EngineName) -> Layout:
    """Say which layout an engine loads: vLLM is told to take Mistral's, SGLang takes the other where both are.

    Source: SGLang cookbook, Mistral Medium 3.5, read 2026-11.
    """
    if Path(name).is_dir():
        return "mistral" if (Path(name) / "params.json").is_file() else "hf"
    return "mistral" if engine == "vllm" else "hf"


def hub_cache(environ: Mapping[str, str]) -> Path:
    """Name the folder where the Hugging Face client keeps what it fetches.

    Source: huggingface_hub 2.4.0, constants.py, read 2026-11.
    """
    named = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    if named:
        return Path(named).expanduser()
    home = environ.get("HF_HOME")
    if home:
        return Path(home).expanduser() / "hub"
    cache = environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path(environ.get("HOME") or Path.home()) / ".cache") / "huggingface" / "hub"


def find_weights(
    name: str, *, layout: Layout, whole_bytes: int, environ: Mapping[str, str], is_draft: bool = False
) -> FoundWeights:
    """Look for a model's files.

    Args:
        name: on the Hub, or a folder.
        layout: which files count.
        whole_bytes: all weights of the layout, as published.
        environ: says where the Hugging Face client keeps its files.
        is_draft: True: it has no tokenizer of its own.
    """
    folder = Path(name) if Path(name).is_dir() else _snapshot(hub_cache(environ) / f"models--{name.replace('/', '--')}")
    if folder is None:
        return FoundWeights(name=name, layout=layout, folder=None, missing=(), there_bytes=0, whole_bytes=whole_bytes)
    there = {file.name for file in folder.iterdir() if file.exists()}  # A link of the cache may lead nowhere.
    stem = _STEMS[layout]
    weights = {file for file in there if file.startswith(stem) and file.endswith(".safetensors")}
    wanted = _shards(folder, stem, weights) | {_CONFIGS[layout]}
    if layout == "mistral" and not is_draft:
        wanted |= {"tekken.json"}
    return FoundWeights(
        name=name,
        layout=layout,
        folder=folder,
        missing=tuple(sorted(wanted - there)),
        there_bytes=sum((folder / file).stat().st_size for file in weights),
        whole_bytes=whole_bytes,
    )


def has_token(environ: Mapping[str, str]) -> bool:
    """Tell whether the Hugging Face client has a token to show for gated models."""
    home = environ.get("HF_HOME")
    file = environ.get("HF_TOKEN_PATH") or (
        Path(home).expanduser() / "token" if home else hub_cache(environ).parent / "token"
    )
    return bool(environ.get("HF_TOKEN") or environ.get("HUGGING_FACE_HUB_TOKEN")) or Path(file).is_file()


_STEMS: Mapping[Layout, str] = {"mistral": "consolidated", "hf": "model"}
_CONFIGS: Mapping[Layout, str] = {"mistral": "params.json", "hf": "config.json"}


def _snapshot(repository: Path) -> Path | None:
    """Find the version that the client would use: the one `main` names."""
    try:
        named = repository / "snapshots" / (repository / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return named if named.is_dir() else None


def _shards(folder: Path, stem: str, there: Set[str]) -> set[str]:
    """List the files that make up the whole: by the index, or by their names, or a single one."""
    index = folder / f"{stem}.safetensors.index.json"
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):  # There is none, or it is cut off.
        return {str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    for name in there:
        numbered = re.fullmatch(r"(.*-)(\d+)(-of-)(\d+)(\.safetensors)", name)
        if numbered:
            before, number, of, count, end = numbered.groups()
            return {f"{before}{n:0{len(number)}}{of}{count}{end}" for n in range(1, int(count) + 1)}
    return {f"{stem}.safetensors"}
