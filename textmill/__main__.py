"""``python -m textmill``."""

import sys

from textmill.cli import main

sys.exit(main())
