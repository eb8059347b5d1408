#!/usr/bin/env bash
# Sets up an AiiDA VM: PostgreSQL, RabbitMQ, AiiDA, a core.psql_dos profile, a Slurm computer, the daemon.
# Without --apply it is a dry run: it prints the commands, passwords included, and changes nothing.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
PROGRAM=${0##*/}

apply=false
copy_env=false
init_profile=false
sanity_check=false
env_file=ops/aiida-vm/aiida-vm.env
readonly example=ops/aiida-vm/aiida-vm.env.example

usage() {
  cat <<USAGE
Usage: scripts/$PROGRAM [--apply] [--copy-env] [--env-file FILE] [--init-profile] [--sanity-check]

Without --apply nothing is changed and nothing is started: the commands are printed and the exit status is 0.

  --apply         run the commands: install what is missing, start the services, make the database,
                  the broker's user and vhost, and the Python environment; safe to repeat
  --copy-env      copy $example to the env file if it is not there yet
  --env-file F    the settings of this VM (default: ops/aiida-vm/aiida-vm.env)
  --init-profile  make the AiiDA profile, the Slurm computer and a code, and start the daemon
  --sanity-check  ask AiiDA and Slurm how they are (a dry run only prints the questions)
  --help          show this text
USAGE
}

say() { printf '==> %s\n' "$*"; }
die() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; exit 1; }

while [ $# -gt 0 ]; do
  case $1 in
    --apply) apply=true ;;
    --copy-env) copy_env=true ;;
    --env-file) [ $# -ge 2 ] || die "--env-file needs a file name"; env_file=$2; shift ;;
    --env-file=*) env_file=${1#*=} ;;
    --init-profile) init_profile=true ;;
    --sanity-check) sanity_check=true ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; die "unknown option: $1" ;;
  esac
  shift
done

# Print a command as it could be typed; with --apply run it, too.
run() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  if $apply; then "$@"; fi
}

# Ask something that changes nothing. A dry run asks nothing, either: there may be nobody to answer.
holds() { $apply && "$@" >/dev/null 2>&1; }

if [ "$(id -u)" -eq 0 ]; then as_root=(); as_postgres=(runuser -u postgres --); else
  as_root=(sudo -n); as_postgres=(sudo -n -u postgres)
fi

# --- settings ---------------------------------------------------------------------------------

if $copy_env; then
  if [ -e "$env_file" ]; then say "kept: $env_file is there already"; else
    run install -m 600 "$example" "$env_file"
  fi
fi
if [ ! -f "$env_file" ]; then
  # A dry run on a bare VM still shows what would be done.
  $apply && die "no env file $env_file: make one with --apply --copy-env and change its passwords"
  say "no env file $env_file, showing the commands with the values of $example"
  env_file=$example
fi
case $env_file in /*) ;; *) env_file=./$env_file ;; esac
set -a
# shellcheck source=ops/aiida-vm/aiida-vm.env.example
. "$env_file"
set +a
for name in AIIDA_PROFILE AIIDA_PATH AIIDA_DB_NAME AIIDA_DB_USER AIIDA_DB_PASSWORD \
  AIIDA_RABBITMQ_VHOST AIIDA_RABBITMQ_USER AIIDA_RABBITMQ_PASSWORD; do
  [ -n "${!name:-}" ] || die "$env_file does not set $name"
done

profile=$AIIDA_PROFILE
db_host=${AIIDA_DB_HOST:-127.0.0.1}
db_port=${AIIDA_DB_PORT:-5432}
mq_host=${AIIDA_RABBITMQ_HOST:-127.0.0.1}
mq_port=${AIIDA_RABBITMQ_PORT:-5672}
computer=${AIIDA_COMPUTER_LABEL:-vm-slurm}
code=${AIIDA_CODE_LABEL:-add}
workdir=${AIIDA_WORKDIR:-$AIIDA_PATH/aiida-work}

# A set-up must not move the lock: the checkout stays as the branch has it.
export UV_FROZEN=${UV_FROZEN:-1}
read -r -a verdi <<<"${AIIDA_VERDI:-uv run --project apps/api --group aiida verdi}"
# `verdi daemon start` looks for verdi on PATH once more.
case ${verdi[0]} in */*) PATH=$(dirname "${verdi[0]}"):$PATH ;; esac

# --- services ---------------------------------------------------------------------------------

install_packages() {
  local package missing=()
  for package in postgresql rabbitmq-server; do
    holds dpkg -s "$package" || missing+=("$package")
  done
  if [ ${#missing[@]} -eq 0 ]; then say "installed already: postgresql rabbitmq-server"; return; fi
  run "${as_root[@]}" apt-get update
  run "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y "${missing[@]}"
}

start_services() {
  local service
  for service in postgresql rabbitmq-server; do
    if holds systemctl is-active "$service" && holds systemctl is-enabled "$service"; then
      say "running already: $service"
    else
      run "${as_root[@]}" systemctl enable --now "$service"
    fi
  done
  # "active" is said before either of them answers.
  run "${as_root[@]}" rabbitmqctl await_startup --timeout 60
  run timeout 60 bash -c "until pg_isready -q -h $db_host -p $db_port; do sleep 0.5; done"
}

# The variables are quoted by psql itself (:'x' a literal, :"x" a name), so any password will do.
psql_run() {
  local sql=$1
  shift
  run "${as_postgres[@]}" psql -X -q -v ON_ERROR_STOP=1 -p "$db_port" "$@" -f - <<<"$sql"
  printf '%s\n' "$sql" | sed 's/^ */    | /'
}

setup_database() {
  local variables=(-v "role=$AIIDA_DB_USER" -v "password=$AIIDA_DB_PASSWORD" -v "name=$AIIDA_DB_NAME")
  psql_run "SELECT format('CREATE ROLE %I LOGIN', :'role')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \\gexec
    ALTER ROLE :\"role\" WITH LOGIN PASSWORD :'password';" "${variables[@]}"
  psql_run "SELECT format('CREATE DATABASE %I OWNER %I ENCODING %L TEMPLATE template0', :'name', :'role', 'UTF8')
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \\gexec" "${variables[@]}"
}

rabbitmq_lists() { "${as_root[@]}" rabbitmqctl -q "$1" --no-table-headers | cut -f 1 | grep -Fxq -- "$2"; }

setup_broker() {
  local vhost=$AIIDA_RABBITMQ_VHOST user=$AIIDA_RABBITMQ_USER password=$AIIDA_RABBITMQ_PASSWORD
  holds rabbitmq_lists list_vhosts "$vhost" || run "${as_root[@]}" rabbitmqctl add_vhost "$vhost"
  if holds rabbitmq_lists list_users "$user"; then
    run "${as_root[@]}" rabbitmqctl change_password "$user" "$password"
  else
    run "${as_root[@]}" rabbitmqctl add_user "$user" "$password"
  fi
  run "${as_root[@]}" rabbitmqctl set_permissions -p "$vhost" "$user" '.*' '.*' '.*'
}

setup_python() {
  if [ -n "${AIIDA_VERDI:-}" ]; then say "verdi is given: $AIIDA_VERDI"; return; fi
  if $apply && ! command -v uv >/dev/null; then die "uv is not on PATH: install it, then run this again"; fi
  # Compiled once here, instead of in the first verdi of every kind.
  run uv sync --compile-bytecode --project apps/api --group aiida
}

# --- AiiDA ------------------------------------------------------------------------------------

# The option names are those of aiida-core 2.7 to 2.9. Nothing is said about the broker here: 2.9 renamed that
# option (--use-rabbitmq became --broker). configure-rabbitmq is there in all of them.
setup_profile() {
  run mkdir -p "$AIIDA_PATH" "$workdir"
  if holds "${verdi[@]}" profile show "$profile"; then
    say "kept: profile $profile is there already"
  else
    run "${verdi[@]}" profile setup core.psql_dos -n \
      --profile-name "$profile" \
      --email "${AIIDA_USER_EMAIL:-aiida@localhost}" \
      --first-name "${AIIDA_USER_FIRST_NAME:-AiiDA}" \
      --last-name "${AIIDA_USER_LAST_NAME:-Operator}" \
      --institution "${AIIDA_USER_INSTITUTION:-unknown}" \
      --database-hostname "$db_host" --database-port "$db_port" \
      --database-name "$AIIDA_DB_NAME" --database-username "$AIIDA_DB_USER" \
      --database-password "$AIIDA_DB_PASSWORD" \
      --repository-uri "${AIIDA_REPOSITORY_URI:-file://$AIIDA_PATH/.aiida/repository/$profile}"
  fi
  # -f, because the probe of 2.7 logs in as guest whatever it is given, and would refuse the right settings.
  run "${verdi[@]}" profile configure-rabbitmq "$profile" -n -f \
    --broker-protocol "${AIIDA_RABBITMQ_PROTOCOL:-amqp}" \
    --broker-host "$mq_host" --broker-port "$mq_port" \
    --broker-virtual-host "$AIIDA_RABBITMQ_VHOST" \
    --broker-username "$AIIDA_RABBITMQ_USER" --broker-password "$AIIDA_RABBITMQ_PASSWORD"
}

setup_computer() {
  if holds "${verdi[@]}" -p "$profile" computer show "$computer"; then
    say "kept: computer $computer is there already"
  else
    run "${verdi[@]}" -p "$profile" computer setup -n --label "$computer" --hostname localhost \
      --description "Slurm on this VM" --transport core.local --scheduler core.slurm \
      --work-dir "$workdir" --mpiprocs-per-machine "${AIIDA_MPIPROCS_PER_MACHINE:-1}"
  fi
  run "${verdi[@]}" -p "$profile" computer configure core.local -n --no-use-login-shell --safe-interval 0 "$computer"
  if holds "${verdi[@]}" -p "$profile" code show "$code@$computer"; then
    say "kept: code $code@$computer is there already"
  else
    run "${verdi[@]}" -p "$profile" code create core.code.installed -n --label "$code" --computer "$computer" \
      --filepath-executable /bin/bash --default-calc-job-plugin core.arithmetic.add
  fi
}

start_daemon() {
  # By default verdi gives up after 2 s, which a healthy daemon on a small busy VM may need.
  run "${verdi[@]}" -p "$profile" config set daemon.timeout 20
  # A daemon that runs may still talk to the broker with old settings, or have no workers left.
  # Stopping it is harmless to its jobs: they go on where they were.
  if holds "${verdi[@]}" -p "$profile" daemon status; then
    run "${verdi[@]}" -p "$profile" daemon stop
  fi
  run "${verdi[@]}" -p "$profile" daemon start "${AIIDA_DAEMON_WORKERS:-1}"
}

check_sanity() {
  local failed=0
  run "${verdi[@]}" -p "$profile" status || failed=1
  run "${verdi[@]}" -p "$profile" daemon status || failed=1
  run "${verdi[@]}" -p "$profile" computer test "$computer" || failed=1
  run sinfo || failed=1
  [ $failed -eq 0 ] || die "the sanity check failed, see above"
}

# --- the order of things ----------------------------------------------------------------------

if $apply; then say "applying to this machine, profile $profile"; else
  say "dry run, profile $profile: nothing below is executed (--apply does)"
fi
install_packages
start_services
setup_database
setup_broker
setup_python
if $init_profile; then
  setup_profile
  setup_computer
  start_daemon
fi
if $sanity_check; then check_sanity; fi
say "done"
