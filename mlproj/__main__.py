"""``python -m mlproj``."""

import sys

from mlproj.cli import main

sys.exit(main())
