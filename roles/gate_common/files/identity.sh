#!/bin/sh
# Prints who and what a gate runs on, as `key: value` lines: the commit, the branch, a digest of the tracked tree,
# and the machine. Usage: identity.sh EVIDENCE_FOLDER TARGET_BRANCH, the folder relative to the checkout, or empty.
# The folder is left out of `content`: two commits that differ only in evidence are the same application.
evidence=$1
target=$2
commit=$(git rev-parse HEAD) || exit 1
echo "commit: $commit"
echo "branch: $(git symbolic-ref --quiet --short HEAD)"
echo "target_commit: $(git rev-parse --quiet --verify "refs/heads/$target^{commit}")"
tree=$(git ls-tree -r --full-tree HEAD) || exit 1
content=$(printf '%s\n' "$tree" |
  awk -F '\t' -v folder="$evidence/" 'folder == "/" || index($2, folder) != 1' | sha256sum)
echo "content: ${content%% *}"
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
