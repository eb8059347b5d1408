#!/bin/sh
# Submits one tiny job, prints each state that it is seen in until it ends or the limit passes, and cancels it then.
# Its output goes nowhere: the node that runs it need not have a directory of this host.
# Usage: slurm-job.sh LIMIT_SECONDS PARTITION ACCOUNT QOS (the last three may be empty)
limit=$1
set -- ${2:+"--partition=$2"} ${3:+"--account=$3"} ${4:+"--qos=$4"}
answer=$(sbatch --job-name=promotion-gate --output=/dev/null --time=1 --ntasks=1 "$@" --wrap='hostname' 2>&1)
status=$?
printf '%s\n' "$answer"
[ "$status" -eq 0 ] || exit "$status"
job=$(printf '%s\n' "$answer" | sed -n 's/^Submitted batch job \([0-9][0-9]*\).*/\1/p')
[ -n "$job" ] || exit 1
trap 'scancel "$job" 2>/dev/null' EXIT INT TERM
waited=0
last=
while [ "$waited" -le "$((limit * 2))" ]; do
  seen=$(scontrol show job -o "$job" 2>&1)
  # A job that just keeps running is not printed again, although its RunTime changes each time.
  state=$(printf '%s\n' "$seen" | sed 's/.* \(JobState=[^ ]* Reason=[^ ]*\) .*/\1/')
  if [ "$state" != "$last" ]; then
    printf '%s\n' "$seen"
    last=$state
  fi
  case $seen in
    *JobState=COMPLETED* | *JobState=FAILED* | *JobState=CANCELLED* | *JobState=TIMEOUT* | *JobState=NODE_FAIL* | \
      *JobState=BOOT_FAIL* | *JobState=DEADLINE* | *JobState=OUT_OF_MEMORY* | *JobState=PREEMPTED*)
      break
      ;;
  esac
  sleep 0.5
  waited=$((waited + 1))
done
