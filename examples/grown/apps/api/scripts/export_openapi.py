"""Write apps/api/openapi.json from the application, or with --check compare the two.

Run from the repository root: PYTHONPATH=apps/api uv run --project apps/api python apps/api/scripts/export_openapi.py
"""

import argparse
import difflib
import json
import sys
from pathlib import Path

from app.main import app

OPENAPI = Path(__file__).resolve().parents[3] / "packages/api-client/openapi/openapi.json"
SHOWN = "packages/api-client/openapi/openapi.json"


def main() -> int:
    parser = argparse.ArgumentParser(description="Export the OpenAPI document of the API.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 and show the diff on drift")
    arguments = parser.parse_args()

    wanted = json.dumps(app.openapi(), indent=2, sort_keys=True) + "\n"
    if not arguments.check:
        OPENAPI.write_text(wanted, encoding="utf-8")
        print(f"written: {SHOWN}")
        return 0

    committed = OPENAPI.read_text(encoding="utf-8") if OPENAPI.exists() else ""
    if committed == wanted:
        print(f"up to date: {SHOWN}")
        return 0
    diff = difflib.unified_diff(committed.splitlines(), wanted.splitlines(), SHOWN, "application", lineterm="")
    print("\n".join(diff))
    print(f"drift: {SHOWN} differs from the application; run export_openapi.py without --check", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
