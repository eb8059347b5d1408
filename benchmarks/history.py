"""What `promotion-gate history` costs on an evidence root of 1,000 runs: python benchmarks/history.py [RUNS]

Exits 1 above two seconds of CPU time. The runs are copies of an example bundle, chained like real ones.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("tests", "tests/unit")]

from test_history import many_runs  # noqa: E402

from promotion_gate.__main__ import main as promotion_gate  # noqa: E402

LIMIT_SECONDS = 2.0


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        many_runs(Path(folder), count)
        worst = 0.0
        for options in ([], ["--json"], ["--html"]):
            began = time.process_time()
            with contextlib.redirect_stdout(io.StringIO()):
                status = promotion_gate(["history", folder, *options])
            seconds = time.process_time() - began
            worst = max(worst, seconds)
            form = " ".join(options) or "as text"
            print(f"history of {count} runs {form}: {seconds:.2f} s of CPU time, exit {status}")
    return int(worst > LIMIT_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
