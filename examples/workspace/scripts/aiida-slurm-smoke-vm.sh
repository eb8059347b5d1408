#!/usr/bin/env bash
# Smoke test of the path AiiDA -> Slurm on the VM. Leaves one log per step.
# Exit status: 0 passed, 2 blocked (a tool, the controller or the profile is not there), 1 hard failure.
set -uo pipefail

PROGRAM=${0##*/}
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
profile=${AIIDA_PROFILE:-}
computer=${AIIDA_COMPUTER_LABEL:-vm-slurm}
workdir=${AIIDA_WORKDIR:-$HOME/aiida-work}
artifacts=$repository/investigations/artifacts/vm-slurm-smoke

usage() {
  cat <<USAGE
Usage: scripts/$PROGRAM [--profile NAME] [--computer-label LABEL] [--workdir DIR] [--artifact-dir DIR]

  --profile NAME          the AiiDA profile (default: AIIDA_PROFILE)
  --computer-label LABEL  the core.slurm computer, made if it is missing (default: AIIDA_COMPUTER_LABEL or vm-slurm)
  --workdir DIR           where its jobs run (default: AIIDA_WORKDIR or ~/aiida-work)
  --artifact-dir DIR      the logs go to DIR/<local time>-vm-slurm/ (default: investigations/artifacts/vm-slurm-smoke)
  --help                  show this text

verdi must be on PATH and AIIDA_PATH must say where its configuration is.
Exit status: 0 passed, 2 blocked, 1 hard failure.
USAGE
}

complain() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }

while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --profile | --computer-label | --workdir | --artifact-dir)
      [ $# -ge 2 ] || { complain "$1 needs a value"; exit 1; }
      case $1 in
        --profile) profile=$2 ;;
        --computer-label) computer=$2 ;;
        --workdir) workdir=$2 ;;
        --artifact-dir) artifacts=$2 ;;
      esac
      shift
      ;;
    *) usage >&2; complain "unknown option: $1"; exit 1 ;;
  esac
  shift
done

run_dir=$artifacts/$(date +%Y%m%dT%H%M%S)-vm-slurm
mkdir -p "$run_dir" || { complain "cannot make $run_dir"; exit 1; }
summary=$run_dir/summary.txt

note() { printf '%s\n' "$*" | tee -a "$summary"; }
finish() { # status, words
  note "result: $2"
  note "logs: $run_dir"
  exit "$1"
}
blocked() { finish 2 "BLOCKED: $*"; }
failed() { finish 1 "FAILED: $*"; }

# Run one step into its own log, which begins with the command.
step() { # log, command...
  local log=$run_dir/$1 status=0
  shift
  printf '$ %s\n' "$*" >>"$log"
  "$@" >>"$log" 2>&1 </dev/null || status=$?
  printf '[exit %s]\n' "$status" >>"$log"
  note "$(basename "$log"): exit $status: $*"
  return $status
}

# `verdi profile show` prints passwords: mask them, and the lines a long one may be folded over.
# shellcheck disable=SC2317  # called through step
verdi_profile_show_masked() {
  verdi -p "$profile" profile show "$profile" 2>&1 | awk '
    { match($0, /^ */) }
    masked && RLENGTH > indent { next }
    { masked = 0 }
    /password: / { indent = RLENGTH; sub(/password: .*/, "password: ***"); masked = 1 }
    { print }'
}

note "profile: ${profile:-(none)}, computer: $computer, workdir: $workdir, host: $(hostname)"
for tool in scontrol sinfo verdi; do
  command -v "$tool" >/dev/null || blocked "$tool is not on PATH"
done
[ -n "$profile" ] || blocked "no profile: give --profile or set AIIDA_PROFILE"

step 01-scontrol-ping.log scontrol ping || blocked "scontrol ping failed: slurmctld or munge is not running"
grep -q ' is UP' "$run_dir/01-scontrol-ping.log" || blocked "no Slurm controller is UP"
step 02-sinfo.log sinfo || blocked "sinfo failed"

step 03-verdi-profile-show.log verdi_profile_show_masked || blocked "verdi knows no profile $profile (AIIDA_PATH=${AIIDA_PATH:-unset})"
step 03-verdi-profile-show.log verdi -p "$profile" storage version || blocked "the database of $profile cannot be used"

if step 04-computer-setup.log verdi -p "$profile" computer show "$computer"; then
  note "computer $computer: there already"
else
  mkdir -p "$workdir" || failed "cannot make the work directory $workdir"
  step 04-computer-setup.log verdi -p "$profile" computer setup -n --label "$computer" --hostname localhost \
    --description "Slurm on this VM" --transport core.local --scheduler core.slurm \
    --work-dir "$workdir" --mpiprocs-per-machine 1 || failed "computer $computer could not be made"
  step 04-computer-setup.log verdi -p "$profile" computer configure core.local -n --no-use-login-shell \
    --safe-interval 0 "$computer" || failed "computer $computer could not be configured"
fi

step 05-verdi-computer-test.log verdi -p "$profile" computer test "$computer" || failed "verdi computer test failed"
finish 0 "PASSED"
