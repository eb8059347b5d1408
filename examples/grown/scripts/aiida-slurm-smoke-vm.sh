#!/usr/bin/env bash
# Smoke test of the path AiiDA -> Slurm on the VM. Exit status: 0 passed, 2 blocked, 1 hard failure.
set -uo pipefail

profile=${AIIDA_PROFILE:-} computer=slurm-local artifacts=
while [ $# -gt 0 ]; do
  case $1 in
    --profile) profile=$2 ;;
    --computer-label) computer=$2 ;;
    --artifact-dir) artifacts=$2 ;;
    *) echo "unknown option: $1" >&2; exit 1 ;;
  esac
  shift 2
done
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
run_dir=${artifacts:-$repository/investigations/artifacts/vm-slurm-smoke}/$(date +%Y%m%dT%H%M%S)
mkdir -p "$run_dir" || exit 1

# What a person looks at when it is blocked; empty where a login shell does not know the tool, or nothing is wrong.
bash -lc 'command -v verdi' >"$run_dir/diag-which-verdi.log" 2>&1
sinfo -R --noheader >"$run_dir/diag-sinfo-reasons.log" 2>&1

blocked() {
  : >"$run_dir/computer-test.log"
  echo "BLOCKED: $*" | tee "$run_dir/summary.txt"
  echo "logs: $run_dir"
  exit 2
}
command -v verdi >"$run_dir/which-verdi.log" || blocked "verdi is not on PATH"
scontrol ping >"$run_dir/scontrol-ping.log" 2>&1 && grep -q ' is UP' "$run_dir/scontrol-ping.log" || blocked "no Slurm controller is UP"
sinfo >"$run_dir/sinfo.log" 2>&1 || blocked "sinfo failed"
verdi -p "$profile" computer show "$computer" >"$run_dir/computer-show.log" 2>&1 || blocked "there is no computer $computer in $profile"
verdi -p "$profile" computer test "$computer" >"$run_dir/computer-test.log" 2>&1
grep -q '^Success: all' "$run_dir/computer-test.log" || { echo "FAILED: verdi computer test" | tee "$run_dir/summary.txt"; exit 1; }
echo "PASSED" | tee "$run_dir/summary.txt"
