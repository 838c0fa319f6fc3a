"""Ready tools for coding and debugging agents; names them only, and imports none of their modules."""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["BUILTIN_TOOLS"]

BUILTIN_TOOLS: Mapping[str, str] = MappingProxyType(
    {
        "edit_file": "tools.files:edit_file",
        "list_files": "tools.files:list_files",
        "read_file": "tools.files:read_file",
        "read_test_report": "tools.testing_tools:read_test_report",
        "run_shell": "tools.shell:run_shell",
        "run_tests": "tools.testing_tools:run_tests",
        "search": "tools.search:search",
        "write_file": "tools.files:write_file",
    }
)
"""Short name of each ready tool to its reference, `module:function`; sorted."""
