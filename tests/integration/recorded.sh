#!/bin/sh
# Stands in for the tools on PATH: prints what the real one printed. A test chooses the output, answers/NAME, and the
# exit status, answers/NAME.exit. answers/NAME.hook, if it exists, is run first, where the tool would have run.
answers=$(dirname "$0")/../answers

hook() {
  if [ -f "$answers/$1.hook" ]; then sh "$answers/$1.hook"; fi
}

answer() {
  hook "$1"
  cat "$answers/$1"
  exit "$(cat "$answers/$1.exit")"
}

# verdi reports the configuration that it reads: the one that it was given.
of_config() {
  hook "$1"
  LC_ALL=C sed "s#^\( ✔ config:  *\)/.*#\1$AIIDA_PATH/.aiida#; s#^\(Report: configuration folder: \)/.*#\1$AIIDA_PATH/.aiida#" "$answers/$1"
  exit "$(cat "$answers/$1.exit")"
}

case "$(basename "$0") $*" in
  "verdi --version") answer verdi_version ;;
  "verdi profile list") of_config profile_list ;;
  "verdi -p "*" daemon status") answer daemon_status ;;
  "verdi -p "*" status") of_config verdi_status ;;
  "verdi -p "*" computer test "*) answer computer_test ;;
  "verdi -p "*" profile show "* | "verdi -p "*" storage version") echo "it is there" ;;
  "verdi -p "*" computer show "*) answer computer_show ;;
  "verdi -p "*" run "*"/versions.py") answer versions ;;
  "scontrol ping") answer scontrol_ping ;;
  "scontrol show node -o -a") answer scontrol_nodes ;;
  "scontrol show reservation -o -a") answer reservations ;;
  "scontrol show job -o "*) answer job ;;
  "sinfo " | "sinfo -a -h -N "*) answer sinfo ;;
  "sinfo --version") answer slurm_version ;;
  "sbatch "*) answer sbatch ;;
  "scancel "*) exit 0 ;;
  "bootstrap "*) answer bootstrap ;;
  "smoke "*) answer smoke ;;
  "node -v") answer node ;;
  "corepack --version") answer corepack ;;
  "pnpm -v") answer pnpm ;;
  "uv --version") answer uv ;;
  "uv run sqlite-smoke")
    count=$(($(cat "$answers/sqlite.count" 2>/dev/null || echo 0) + 1))
    echo "$count" >"$answers/sqlite.count"
    hook sqlite
    sleep "$(cat "$answers/sqlite.seconds")"
    [ "$count" != "$(cat "$answers/sqlite.fails_at")" ] || { echo "Critical: run $count of the smoke failed"; exit 1; }
    echo "sqlite smoke: finished [0]"
    ;;
  "uv run --project apps/api python apps/api/scripts/export_openapi.py --check") answer openapi ;;
  "uv run pytest "*)
    cp "$answers/junit" "${PYTEST_ADDOPTS##*--junitxml=}"
    answer pytest
    ;;
  "pnpm -C packages/api-client run generate")
    cp "$answers/schema.ts" packages/api-client/src/generated/schema.ts
    answer generate
    ;;
  *)
    echo "recorded.sh has no answer for: $(basename "$0") $*"
    exit 64
    ;;
esac
