"""Ready tools for coding and debugging agents; lists their names and imports none of their modules."""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["BUILTIN_TOOLS"]

BUILTIN_TOOLS: Mapping[str, str] = MappingProxyType(
    {
        "apply_diff": "tools.changes:apply_diff",
        "debug_evaluate": "tools.debugger:debug_evaluate",
        "debug_look": "tools.debugger:debug_look",
        "debug_resume": "tools.debugger:debug_resume",
        "debug_start": "tools.debugger:debug_start",
        "debug_stop": "tools.debugger:debug_stop",
        "diff": "tools.workspace_diff:diff",
        "edit_file": "tools.files:edit_file",
        "edit_files": "tools.changes:edit_files",
        "find_definition": "tools.code:find_definition",
        "find_references": "tools.code:find_references",
        "list_files": "tools.files:list_files",
        "outline": "tools.code:outline",
        "read_file": "tools.files:read_file",
        "read_process": "tools.processes:read_process",
        "read_test_report": "tools.testing_tools:read_test_report",
        "run_shell": "tools.shell:run_shell",
        "run_tests": "tools.testing_tools:run_tests",
        "search": "tools.search:search",
        "start_process": "tools.processes:start_process",
        "stop_process": "tools.processes:stop_process",
        "undo_change": "tools.changes:undo_change",
        "write_file": "tools.files:write_file",
    }
)
"""Map of each ready tool's short name to its `module:function` reference; sorted."""
