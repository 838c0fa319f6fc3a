"""Find a model's files on this disk, and build the command that downloads one layout of them; downloads nothing.

Mistral's repositories hold the same weights twice: `consolidated*.safetensors` with `params.json`, and
`model*.safetensors` with `config.json`. Downloading both takes twice the disk space and time.
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
"""`mistral` means consolidated*.safetensors, `hf` means model*.safetensors."""


@dataclass(frozen=True, kw_only=True)
class FoundWeights:
    """The files of one model on this disk."""

    name: str
    """A Hugging Face Hub name, or a folder."""
    layout: Layout
    folder: Path | None
    """Where the files are. None if there are none."""
    missing: tuple[str, ...]
    """Missing files that the engine needs. Empty if there are no files at all, because then the names are not known."""
    present_bytes: int
    """Weights that are already there."""
    total_bytes: int
    """All weights of the layout, as published."""

    @property
    def complete(self) -> bool:
        """True if nothing needs to be downloaded."""
        return self.folder is not None and not self.missing

    @property
    def download_bytes(self) -> int:
        """Bytes that still need to be downloaded."""
        return 0 if self.complete else max(0, self.total_bytes - self.present_bytes)

    @property
    def download_command(self) -> str:
        """The command that downloads only this layout."""
        other = {"mistral": "model*", "hf": "consolidated*"}[self.layout]
        return f"hf download {self.name} --exclude {shlex.quote(other)}"


def layout_for(name: str, engine: EngineName) -> Layout:
    """Return the layout that an engine loads: vLLM is started with Mistral's; SGLang prefers the other if both exist.

    Source: SGLang cookbook, Mistral Medium 3.5, read 2026-11.
    """
    if Path(name).is_dir():
        return "mistral" if (Path(name) / "params.json").is_file() else "hf"
    return "mistral" if engine == "vllm" else "hf"


def hub_cache(environ: Mapping[str, str]) -> Path:
    """Return the folder to which the Hugging Face client downloads.

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
    name: str, *, layout: Layout, total_bytes: int, environ: Mapping[str, str], is_draft: bool = False
) -> FoundWeights:
    """Find a model's files.

    Args:
        name: a Hugging Face Hub name, or a folder.
        layout: which files count.
        total_bytes: all weights of the layout, as published.
        environ: may set where the Hugging Face client stores its files.
        is_draft: True means that there is no tokenizer.
    """
    folder = Path(name) if Path(name).is_dir() else _snapshot(hub_cache(environ) / f"models--{name.replace('/', '--')}")
    if folder is None:
        return FoundWeights(name=name, layout=layout, folder=None, missing=(), present_bytes=0, total_bytes=total_bytes)
    present = {file.name for file in folder.iterdir() if file.exists()}  # A symlink of the cache may be broken.
    stem = _STEMS[layout]
    weights = {file for file in present if file.startswith(stem) and file.endswith(".safetensors")}
    required = _shards(folder, stem, weights) | {_CONFIGS[layout]}
    if layout == "mistral" and not is_draft:
        required |= {"tekken.json"}
    return FoundWeights(
        name=name,
        layout=layout,
        folder=folder,
        missing=tuple(sorted(required - present)),
        present_bytes=sum((folder / file).stat().st_size for file in weights),
        total_bytes=total_bytes,
    )


def has_token(environ: Mapping[str, str]) -> bool:
    """Return whether the Hugging Face client has a token, which gated models require."""
    home = environ.get("HF_HOME")
    file = environ.get("HF_TOKEN_PATH") or (
        Path(home).expanduser() / "token" if home else hub_cache(environ).parent / "token"
    )
    return bool(environ.get("HF_TOKEN") or environ.get("HUGGING_FACE_HUB_TOKEN")) or Path(file).is_file()


_STEMS: Mapping[Layout, str] = {"mistral": "consolidated", "hf": "model"}
_CONFIGS: Mapping[Layout, str] = {"mistral": "params.json", "hf": "config.json"}


def _snapshot(repository: Path) -> Path | None:
    """Return the folder of the revision that the client would use, which is `main`, or None."""
    try:
        folder = repository / "snapshots" / (repository / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return folder if folder.is_dir() else None


def _shards(folder: Path, stem: str, present: Set[str]) -> set[str]:
    """Return the names of all weight files: from the index, else from the numbering of those present, else one file."""
    index = folder / f"{stem}.safetensors.index.json"
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):  # It is missing or truncated.
        return {str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    for name in present:
        numbered = re.fullmatch(r"(.*-)(\d+)(-of-)(\d+)(\.safetensors)", name)
        if numbered:
            before, number, of, count, end = numbered.groups()
            return {f"{before}{n:0{len(number)}}{of}{count}{end}" for n in range(1, int(count) + 1)}
    return {f"{stem}.safetensors"}
