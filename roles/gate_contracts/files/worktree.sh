#!/bin/sh
# Keeps what the gate's commands leave in the worktree, and puts back what was clean before.
#   worktree.sh before FOLDER    notes which files are changed already
#   worktree.sh left FOLDER      notes what the commands left, file by file, with a digest each
#   worktree.sh restore FOLDER   writes FOLDER/worktree.patch, which lists the changed files with the digests of what
#                                is committed and of what is there, but not what they hold; and restores a tracked
#                                file that was clean before and still is exactly what the commands left
# The checkout is somebody's: git takes no lock in it.
export GIT_OPTIONAL_LOCKS=0
step=$1
folder=$2
changed() { git diff --name-only HEAD --; }
case $step in
  before)
    changed >"$folder/before" || exit 1
    echo "changed before: $(wc -l <"$folder/before")"
    ;;
  left)
    : >"$folder/left"
    changed | while IFS= read -r name; do
      grep -qxF -- "$name" "$folder/before" || sha256sum -- "$name" >>"$folder/left" 2>/dev/null
    done
    echo "changed by the commands: $(wc -l <"$folder/left")"
    ;;
  restore)
    # What need not be collected is not: a patch may begin in the middle of a private key.
    changed | while IFS= read -r name; do
      old=$(git cat-file blob "HEAD:./$name" 2>/dev/null | sha256sum)
      new=$(sha256sum <"$name" 2>/dev/null) || new=gone
      echo "${old%% *} ${new%% *} $name"
    done >"$folder/list"
    [ ! -s "$folder/list" ] || mv "$folder/list" "$folder/worktree.patch"
    while IFS= read -r line; do
      name=${line#*  }
      if [ "$(sha256sum -- "$name" 2>/dev/null)" = "$line" ] && git diff --cached --quiet HEAD -- "$name"; then
        git checkout --quiet -- "$name" && echo "restored $name"
      else
        echo "left alone $name"
      fi
    done <"$folder/left"
    ;;
esac
