#!/bin/sh
# Restores files that the gate's commands changed and that were clean before.
#   worktree.sh before FOLDER    notes which files are already changed
#   worktree.sh restore FOLDER   writes FOLDER/worktree.patch, which lists the changed files with the digests of what
#                                is committed and of what is there, but not their content; and restores the tracked
#                                files that were clean before and are not staged: `restored: NAME`
# The checkout belongs to somebody else: git takes no lock in it.
export GIT_OPTIONAL_LOCKS=0
step=$1
folder=$2
changed() { git diff --name-only HEAD --; }
case $step in
  before)
    changed >"$folder/noted" && mv "$folder/noted" "$folder/before" || exit 1
    echo "changed before: $(wc -l <"$folder/before")"
    ;;
  restore)
    [ -f "$folder/before" ] && changed >"$folder/changed" || exit 1
    # The content is not needed, so it is not collected: a patch may begin in the middle of a private key.
    while IFS= read -r name; do
      old=$(git cat-file blob "HEAD:./$name" 2>/dev/null | sha256sum)
      new=$(sha256sum <"$name" 2>/dev/null) || new=gone
      echo "${old%% *} ${new%% *} $name" >>"$folder/worktree.patch"
      if grep -qxF -- "$name" "$folder/before" || [ ! -f "$name" ] || ! git diff --cached --quiet HEAD -- "$name"; then
        echo "left alone: $name"
      else
        git checkout --quiet -- "$name" && echo "restored: $name"
      fi
    done <"$folder/changed"
    ;;
esac
