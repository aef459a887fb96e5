"""`python -m commands`: the same as `sam-serve`."""

import sys

from commands.main import main

sys.exit(main())
