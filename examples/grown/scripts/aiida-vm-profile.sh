#!/usr/bin/env bash
# Makes the profile, the Slurm computer and the daemon, by hand and once, because `aiida-vm-bootstrap.sh --init-profile` fails. Run it in the checkout, after the bootstrap's --apply.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

set -a
# shellcheck source=/dev/null
. "${1:-ops/aiida-vm/aiida-vm.env}"
set +a
export AIIDA_PATH=$PWD/$AIIDA_CONFIG_DIR PATH=$PWD/$AIIDA_UV_PROJECT/.venv/bin:$PATH
work=$PWD/.just-runtime/aiida-vm/work
mkdir -p "$AIIDA_PATH" "$work"

verdi profile setup core.psql_dos -n --profile-name "$AIIDA_PROFILE" --email "$AIIDA_DEFAULT_USER_EMAIL" \
  --first-name "$AIIDA_DEFAULT_USER_FIRST_NAME" --last-name "$AIIDA_DEFAULT_USER_LAST_NAME" \
  --institution "$AIIDA_DEFAULT_USER_INSTITUTION" --database-hostname "$AIIDA_PGHOST" --database-port "$AIIDA_PGPORT" \
  --database-name "$AIIDA_PGDATABASE" --database-username "$AIIDA_PGUSER" --database-password "$AIIDA_PGPASSWORD" \
  --repository-uri "file://$PWD/$AIIDA_REPOSITORY_DIR"
verdi profile configure-rabbitmq "$AIIDA_PROFILE" -n -f --broker-protocol "$AIIDA_BROKER_PROTOCOL" \
  --broker-host "$AIIDA_BROKER_HOST" --broker-port "$AIIDA_BROKER_PORT" --broker-virtual-host "$AIIDA_BROKER_VHOST" \
  --broker-username "$AIIDA_BROKER_USER" --broker-password "$AIIDA_BROKER_PASSWORD"
verdi -p "$AIIDA_PROFILE" computer setup -n --label slurm-local --hostname localhost --description "Slurm on this VM" \
  --transport core.local --scheduler core.slurm --work-dir "$work" --mpiprocs-per-machine 1
verdi -p "$AIIDA_PROFILE" computer configure core.local -n --no-use-login-shell --safe-interval 0 slurm-local
verdi -p "$AIIDA_PROFILE" config set daemon.timeout 20
verdi -p "$AIIDA_PROFILE" daemon start 1
