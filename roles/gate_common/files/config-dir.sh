#!/bin/sh
# Prints which folder verdi keeps its configuration in, as `key: value` lines; runs in the checkout, after the environment
# file was read. Usage: config-dir.sh [CONFIGURED], the aiida_vm_config_dir of the run or an empty word.
#   source: which setting says so      aiida_path: what verdi gets as AIIDA_PATH, absolute
#   config: the folder that verdi's own `config:` line must name
# Exits 3 if nothing says which folder, 4 if that folder holds no configuration: verdi would make one, so it is not called.
if [ -n "$1" ]; then
  source=aiida_vm_config_dir value=$1
elif [ -n "$AIIDA_PATH" ]; then
  source=AIIDA_PATH value=$AIIDA_PATH
elif [ -n "$AIIDA_CONFIG_DIR" ]; then
  source=AIIDA_CONFIG_DIR value=$AIIDA_CONFIG_DIR
else
  echo "aiida_vm_config_dir is not set, and neither AIIDA_PATH nor AIIDA_CONFIG_DIR is in the environment file" >&2
  exit 3
fi
# As aiida-core does: of the entries the first whose .aiida is there, else the last one.
here=$PWD path= config=
set -f
IFS=:
for entry in $value; do
  # shellcheck disable=SC2088 # the word as it stands in the setting
  case $entry in
    '~') entry=$HOME ;;
    '~/'*) entry=$HOME/${entry#'~/'} ;;
    /*) ;;
    *) entry=$here/${entry#./} ;;
  esac
  entry=${entry%/}
  path=$path${path:+:}$entry
  case $entry in
    */.aiida) folder=$entry ;;
    *) folder=$entry/.aiida ;;
  esac
  [ -n "$config" ] && [ -d "$config" ] || config=$folder
done
echo "source: $source"
echo "aiida_path: $path"
echo "config: $config"
if [ ! -f "$config/config.json" ]; then
  echo "there is no configuration in $config ($source)" >&2
  exit 4
fi
