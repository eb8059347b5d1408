#!/bin/sh
# Keeps what the gate's commands leave in the worktree, and puts back what was clean before.
#   worktree.sh before FOLDER    notes which files are changed already
#   worktree.sh left FOLDER      notes what the commands left, file by file, with a digest each
#   worktree.sh restore FOLDER   writes FOLDER/worktree.patch and restores a tracked file that was clean before and
#                                still is exactly what the commands left; nothing else is touched
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
    git diff HEAD >"$folder/all.patch"
    [ ! -s "$folder/all.patch" ] || mv "$folder/all.patch" "$folder/worktree.patch"
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
