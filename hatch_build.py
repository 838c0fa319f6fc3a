"""Hatch build hook: puts all code of a wheel into `tramontane`; adds the second import name to every install."""

from __future__ import annotations

import shutil
from importlib import util
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_LEAVE = """\
import sys

if sys.argv[:1] == ["-m"] and sys.orig_argv[-len(sys.argv)].removeprefix("-m") == __name__:
    if not sys.flags.safe_path and sys.path[0] not in sys.path[1:]:  # not the folder that it is installed in
        del sys.path[0]  # `python -m` puts the current folder first, where the commands of a run may write
"""

WHEEL_ALIAS = f'''\
"""Import name of Tramontane; the code is in `tramontane`. A project's own `agent` takes precedence."""

{_LEAVE}
from tramontane.import_names import share_wheel

share_wheel(__name__)
'''

EDITABLE_ALIAS = f'''\
"""Import name of Tramontane, installed editable; the code is in the repository."""

{_LEAVE}
from importlib import util
from pathlib import Path

_ROOT = Path({{root!r}})
_spec = util.spec_from_file_location("_tramontane_import_names", _ROOT / "agent" / "import_names.py")
_names = util.module_from_spec(_spec)
_spec.loader.exec_module(_names)
_names.share_editable(__name__, _ROOT)
'''

# What documents import from, for type checkers and editors, which do not see the finder. Not as stubs, because
# pyright warns about a stub without a source beside it.
PUBLIC_MODULES = ("events", "ready_tools", "testing", "testing.faults")


class ImportNames(BuildHookInterface[Any]):
    """Lays out what is built in a temporary folder, and removes it afterwards."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the laid-out files to what is built."""
        self._folder = TemporaryDirectory(prefix="tramontane-build-")
        laid_out = Path(self._folder.name)
        if version == "editable":
            _alias(laid_out / "tramontane", EDITABLE_ALIAS.format(root=self.root), real="agent", root=Path(self.root))
            _write_names(laid_out / "tramontane" / "serving" / "__init__.py", "serving")
            build_data["force_include_editable"] = {str(laid_out / "tramontane"): "tramontane"}
            return
        _lay_out(Path(self.root), laid_out)
        _alias(laid_out / "agent", WHEEL_ALIAS, real="tramontane", root=Path(self.root))
        build_data["force_include"] |= {str(laid_out / name): name for name in ("agent", "tramontane")}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary folder."""
        self._folder.cleanup()


def _lay_out(root: Path, target: Path) -> None:
    # By its path: the name `agent` may be anything where the build runs.
    spec = util.spec_from_file_location("_tramontane_import_names", root / "agent" / "import_names.py")
    assert spec is not None
    assert spec.loader is not None
    names = util.module_from_spec(spec)
    spec.loader.exec_module(names)
    for old, new in names.IN_WHEEL.items():
        shutil.copytree(root / old, target.joinpath(*new.split(".")), ignore=shutil.ignore_patterns("__pycache__"))
    for path in target.rglob("*.py"):
        path.write_text(names.rewrite_imports(path.read_text(encoding="utf-8")), encoding="utf-8")


def _alias(folder: Path, code: str, *, real: str, root: Path) -> None:
    folder.mkdir()
    (folder / "__init__.py").write_text(code, encoding="utf-8")
    (folder / "py.typed").touch()
    _write_names(folder / "__init__.pyi", real)
    for name in PUBLIC_MODULES:
        source = root.joinpath("agent", *name.split("."))
        if source.is_dir():
            _write_names(folder.joinpath(*name.split("."), "__init__.py"), f"{real}.{name}")
        elif source.with_suffix(".py").exists():
            _write_names(folder.joinpath(*name.split(".")).with_suffix(".py"), f"{real}.{name}")


def _write_names(path: Path, module: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'"""The names of `{module}`."""\n\nfrom {module} import *\n', encoding="utf-8")
