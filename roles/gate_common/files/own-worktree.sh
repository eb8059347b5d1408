#!/bin/sh
# Restores the gate's own temporary worktree (workspace_checkout=worktree) after a gate, so that the next gate starts with
# the files of the commit; prints `restored: NAME` or `removed: NAME` for each file. Ignored files (.venv, node_modules)
# stay. In any other checkout it does nothing.
export GIT_OPTIONAL_LOCKS=0
case $(git rev-parse --absolute-git-dir) in
  */.git/worktrees/promotion-gate-*) ;;
  *) exit 0 ;;
esac
git -c core.quotepath=false diff --name-only HEAD -- | sed 's/^/restored: /'
git -c core.quotepath=false ls-files --others --exclude-standard | sed 's/^/removed: /'
git reset --quiet --hard HEAD && git clean --quiet --force -d
