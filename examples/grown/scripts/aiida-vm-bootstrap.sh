#!/usr/bin/env bash
# Sets up an AiiDA VM. Without --apply it prints the commands, passwords included, and changes nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

apply=false init_profile=false sanity_check=false env_file=ops/aiida-vm/aiida-vm.env
while [ $# -gt 0 ]; do
  case $1 in
    --apply) apply=true ;;
    --env-file) env_file=$2; shift ;;
    --init-profile) init_profile=true ;;
    --sanity-check) sanity_check=true ;;
    *) echo "unknown option: $1" >&2; exit 1 ;;
  esac
  shift
done

run() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  if $apply; then "$@"; fi
}

set -a
# shellcheck source=/dev/null
. "$env_file"
set +a
for name in AIIDA_PROFILE AIIDA_CONFIG_DIR AIIDA_UV_PROJECT AIIDA_PGDATABASE AIIDA_PGUSER AIIDA_PGPASSWORD \
  AIIDA_BROKER_USER AIIDA_BROKER_PASSWORD AIIDA_BROKER_VHOST; do
  [ -n "${!name:-}" ] || { echo "$env_file does not set $name" >&2; exit 1; }
done
config=$PWD/$AIIDA_CONFIG_DIR repository=$PWD/$AIIDA_REPOSITORY_DIR
verdi=(env "AIIDA_PATH=$config" uv run --project "$AIIDA_UV_PROJECT" --group aiida verdi)
if [ "$(id -u)" -eq 0 ]; then as_root=() as_postgres=(runuser -u postgres --); else
  as_root=(sudo -n) as_postgres=(sudo -n -u postgres)
fi

if $apply; then echo "==> applying, profile $AIIDA_PROFILE"; else echo "==> dry run, profile $AIIDA_PROFILE"; fi
run "${as_root[@]}" systemctl start postgresql rabbitmq-server
if [ "$("${as_postgres[@]}" psql -XAtc "SELECT 1 FROM pg_roles WHERE rolname = '$AIIDA_PGUSER'" 2>/dev/null)" != 1 ]; then
  run "${as_postgres[@]}" psql -Xqc "CREATE ROLE $AIIDA_PGUSER LOGIN PASSWORD '$AIIDA_PGPASSWORD'"
  run "${as_postgres[@]}" createdb --owner "$AIIDA_PGUSER" --encoding UTF8 --template template0 "$AIIDA_PGDATABASE"
fi
if $apply && ! grep -qx "$AIIDA_BROKER_VHOST" <<<"$("${as_root[@]}" rabbitmqctl -q list_vhosts)"; then
  run "${as_root[@]}" rabbitmqctl -q add_vhost "$AIIDA_BROKER_VHOST"
  run "${as_root[@]}" rabbitmqctl -q add_user "$AIIDA_BROKER_USER" "$AIIDA_BROKER_PASSWORD"
  run "${as_root[@]}" rabbitmqctl -q set_permissions -p "$AIIDA_BROKER_VHOST" "$AIIDA_BROKER_USER" '.*' '.*' '.*'
fi
run mkdir -p "$config" "$repository"
if $init_profile; then
  # The option names of `verdi setup`, which `verdi profile setup` does not have.
  run "${verdi[@]}" profile setup core.psql_dos --non-interactive --profile "$AIIDA_PROFILE" --email "$AIIDA_DEFAULT_USER_EMAIL" \
    --first-name "$AIIDA_DEFAULT_USER_FIRST_NAME" --last-name "$AIIDA_DEFAULT_USER_LAST_NAME" \
    --institution "$AIIDA_DEFAULT_USER_INSTITUTION" \
    --db-host "$AIIDA_PGHOST" --db-port "$AIIDA_PGPORT" --db-name "$AIIDA_PGDATABASE" \
    --db-username "$AIIDA_PGUSER" --db-password "$AIIDA_PGPASSWORD" --repository "$repository"
fi
if $sanity_check; then
  run "${verdi[@]}" -p "$AIIDA_PROFILE" status
  run sinfo
fi
echo "==> done"
