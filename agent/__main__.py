"""Let `python -m agent` do what the `agent` command does."""

import sys

from .cli import main

sys.exit(main())
