"""``python -m rollback_provider.cli``."""

import sys

from rollback_provider.cli import main

sys.exit(main())
