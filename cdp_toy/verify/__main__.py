"""`python -m cdp_toy.verify FILE...`: one line per file; exit code 1 if any is refuted, else 2 if any is undecided."""

import sys

from cdp_toy.verify import main

sys.exit(main())
