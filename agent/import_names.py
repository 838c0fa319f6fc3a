"""The two import names: code lives in `tramontane` in a wheel, in `agent`, `tools` and `serving` in a checkout.

Documents say `from agent import ...`. After either kind of install both names work and give the same objects:

| installed | modules are loaded as | other names for them |
|---|---|---|
| wheel | `tramontane`, `tramontane.tools`, `tramontane.serving` | `agent`; `tools` and `serving` with a warning |
| editable | `agent`, `tools`, `serving` | `tramontane` |

A project's own `agent`, `tools` or `serving` takes precedence over these other names. The build and the editable
install load this file by its path, so it imports nothing of ours.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module, util
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

IN_WHEEL: Mapping[str, str] = {"agent": "tramontane", "serving": "tramontane.serving", "tools": "tramontane.tools"}
"""The name of each package of the repository in a wheel."""

_OLD_NAMES = {
    "serving": "write `from tramontane.serving import ...`",
    "tools": "write `from agent import ready_tools`",
}


def rewrite_imports(source: str) -> str:
    """Return Python source that imports the repository's packages by their names in a wheel; nothing else changes.

    Raises:
        ValueError: an import binds a package's own name, as `import agent` does.
    """
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import) and any(_top(alias.name) in IN_WHEEL for alias in node.names):
            raise ValueError(f"line {node.lineno}: a wheel cannot rename {ast.unparse(node)!r}. Write from ... import.")
        if isinstance(node, ast.ImportFrom) and node.level == 0 and _top(node.module or "") in IN_WHEEL:
            index, old = node.lineno - 1, _top(node.module or "")
            lines[index] = re.sub(rf"\bfrom\s+{old}\b", f"from {IN_WHEEL[old]}", lines[index], count=1)
    return "".join(lines)


def share_wheel(name: str) -> None:
    """Make the package `agent`, which is being imported, another name of `tramontane`, unless the project has its own.

    Args:
        name: the package's `__name__`.
    """
    own = _own_package(name)
    if own is not None and own.loader is not None:
        sys.modules[name] = module = util.module_from_spec(own)
        own.loader.exec_module(module)
        return
    _share(name, {name: IN_WHEEL[name]})
    sys.meta_path.append(_OldNames())


def share_editable(name: str, root: Path) -> None:
    """Make the package `tramontane`, which is being imported, another name of the repository's packages.

    If the project has a module named `agent`, the repository's is loaded under the name `tramontane` alone.
    """
    found = util.find_spec("agent")
    if found is not None and found.origin == str(root / "agent" / "__init__.py"):
        _share(name, {new: old for old, new in IN_WHEEL.items()})
        return
    module = sys.modules[name]
    module.__path__ = [str(root / "agent"), str(root)]
    sys.meta_path.insert(0, _CheckoutFinder(name))
    _RewritingLoader(name, str(root / "agent" / "__init__.py")).exec_module(module)


def _top(module: str) -> str:
    return module.partition(".")[0]


def _own_package(name: str) -> ModuleSpec | None:
    """Return the spec of a project's own module of this name, though the package that runs now was found first."""
    here = sys.modules[name].__file__ or ""
    site = Path(here).parents[1]
    others = [entry for entry in sys.path if Path(entry).resolve() != site.resolve()]
    for finder in sys.meta_path:
        found = PathFinder.find_spec(name, others) if finder is PathFinder else finder.find_spec(name, None)
        if found is not None and found.has_location and found.origin != here:
            return found
    return None


def _share(name: str, names: Mapping[str, str]) -> None:
    module, real = sys.modules[name], import_module(names[name])

    def get(attribute: str) -> object:
        return getattr(real, attribute)

    module.__doc__, module.__path__ = real.__doc__, list(real.__path__)
    module.__dict__.update(__getattr__=get, __dir__=lambda: dir(real))
    sys.meta_path.insert(0, _SharedFinder(name, names))


class _SharedFinder(MetaPathFinder):
    # First in sys.meta_path: the path finder would load the files of `agent.testing` a second time.
    def __init__(self, name: str, names: Mapping[str, str]) -> None:
        self._name = name
        self._names = sorted(names.items(), reverse=True)  # `tramontane.tools` before `tramontane`

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{self._name}."):
            return None
        parent = fullname.rpartition(".")[0]
        theirs = PathFinder.find_spec(fullname, self._project_folders()) if parent == self._name else None
        if theirs is not None and theirs.has_location:
            return theirs
        if parent != self._name and sys.modules.get(parent) is not sys.modules.get(self._real(parent)):
            return None  # inside a package of the project
        real = util.find_spec(self._real(fullname))
        if real is None:
            return theirs
        is_package = real.submodule_search_locations is not None
        return ModuleSpec(fullname, _SharedLoader(real.name), origin=real.origin, is_package=is_package)

    def _real(self, fullname: str) -> str:
        return next(
            real + fullname.removeprefix(name)
            for name, real in self._names
            if fullname == name or fullname.startswith(f"{name}.")
        )

    def _project_folders(self) -> list[str]:
        """Return the folders of this name that have no `__init__.py`, which Python would import as one package."""
        folders = [Path(entry, self._name) for entry in sys.path]
        return [str(folder) for folder in folders if folder.is_dir() and not (folder / "__init__.py").exists()]


class _SharedLoader(Loader):
    def __init__(self, real: str) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = import_module(self._real)

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code that `python -m` runs."""
        real = util.find_spec(self._real)
        assert real is not None
        assert isinstance(real.loader, InspectLoader)
        return real.loader.get_code(self._real)


class _OldNames(MetaPathFinder):
    # Last in sys.meta_path: whatever the project or another package calls `tools` comes first.
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, _OldNameLoader(), is_package=True) if fullname in _OLD_NAMES else None


class _OldNameLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        warnings.warn(
            f"The import name {name!r} of tramontane works in this release only: {_OLD_NAMES[name]}.",
            DeprecationWarning,
            stacklevel=2,
        )
        _share(name, {name: IN_WHEEL[name]})


class _CheckoutFinder(MetaPathFinder):
    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = PathFinder.find_spec(fullname, path) if fullname.startswith(f"{self._name}.") else None
        if found is not None and isinstance(found.loader, SourceFileLoader):
            found.loader = _RewritingLoader(fullname, found.loader.path)
        return found


class _RewritingLoader(SourceFileLoader):
    # Never from __pycache__, which holds the code that was not rewritten.
    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(rewrite_imports(self.get_data(self.path).decode()), self.path)
