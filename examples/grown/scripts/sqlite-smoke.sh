#!/usr/bin/env bash
# The sqlite smoke of the lane: one real calculation, and its log kept with the ticket that introduced it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for ticket in gra-101 gra-125; do
  mkdir -p "investigations/artifacts/$ticket/sqlite-smoke"
done
log=investigations/artifacts/gra-101/sqlite-smoke/newest.log
uv run --project apps/api --group aiida python scripts/aiida-sqlite-smoke.py | tee "$log"
