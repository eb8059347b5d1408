#!/bin/sh
# Prints who and what a gate runs on, as `key: value` lines: the commit, the branch, a digest of the tracked tree, of
# what is not committed, and the machine. Usage: identity.sh EVIDENCE_FOLDER TARGET_BRANCH [ENV_FILE [REVISION]], the
# folder relative to the checkout, or empty. The folder is left out: commits that differ only in evidence are the same
# application. A REVISION is asked for instead of the checkout: then nothing is said of uncommitted changes.
evidence=$1
target=$2
env_file=$3
revision=${4:-HEAD}
commit=$(git rev-parse --verify "$revision^{commit}") || exit 1
echo "commit: $commit"
echo "branch: $(git symbolic-ref --quiet --short HEAD)"
echo "target_commit: $(git rev-parse --quiet --verify "refs/heads/$target^{commit}")"
tree=$(git ls-tree -r --full-tree "$commit") || exit 1
content=$(printf '%s\n' "$tree" |
  awk -F '\t' -v folder="$evidence/" 'folder == "/" || index($2, folder) != 1' | sha256sum)
echo "content: ${content%% *}"

# A digest of what the commands print, or `none`.
digest() {
  if [ -z "$1" ]; then
    echo none
  else
    printf '%s\n' "$1" | sha256sum | cut -d ' ' -f 1
  fi
}
if [ "$revision" = HEAD ]; then
  changes=$(git diff --no-ext-diff --no-textconv --full-index HEAD -- . ":(exclude,top,literal)${evidence:-.git}") || exit 1
  untracked=$(git ls-files --others --exclude-standard -- . ":(exclude,top,literal)${evidence:-.git}") || exit 1
  echo "changes: $(digest "$changes")"
  echo "untracked: $(digest "$untracked")"
fi
# When it was written and its size: a digest of a file with passwords in it would help to guess them.
[ -z "$env_file" ] || echo "env_file: $(stat -L -c '%.9Y %s' -- "$env_file" 2>/dev/null)"
echo "machine_id: $(cat /etc/machine-id 2>/dev/null)"
# The host key without its comment: the comment may be edited, the key is the machine.
for key in /etc/ssh/ssh_host_ed25519_key.pub /etc/ssh/ssh_host_ecdsa_key.pub /etc/ssh/ssh_host_rsa_key.pub; do
  if [ -r "$key" ]; then
    echo "host_key: $(cut -d ' ' -f 1,2 "$key")"
    break
  fi
done
# Timings are compared on one kind of processor only.
echo "processor: $(uname -m) x$(nproc) $(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)"
