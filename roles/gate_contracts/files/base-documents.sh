#!/bin/sh
# Writes the documents of the merge-base with the target branch into a directory, to see which fields are new.
# Usage: base-documents.sh FOLDER BRANCH PATH...; prints `base: COMMIT`, or an empty value if there is none.
export GIT_OPTIONAL_LOCKS=0
folder=$1
branch=$2
shift 2
# On the target branch itself the merge-base is HEAD; then the commit before HEAD is used.
base=$(git merge-base HEAD "refs/remotes/origin/$branch" 2>/dev/null || git merge-base HEAD "refs/heads/$branch" 2>/dev/null)
if [ "$base" = "$(git rev-parse HEAD)" ]; then
  base=$(git rev-parse --quiet --verify 'HEAD^' 2>/dev/null)
fi
mkdir -p "$folder"
if [ -n "$base" ]; then
  git ls-tree -r --name-only --full-tree "$base" -- "$@" | while IFS= read -r name; do
    mkdir -p "$folder/$(dirname "$name")"
    git show "$base:$name" >"$folder/$name"
  done
fi
echo "base: $base"
