"""Run the `agent` command as `python -m agent`."""

import sys

from .cli import main

sys.exit(main())
