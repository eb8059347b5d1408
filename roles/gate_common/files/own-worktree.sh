#!/bin/sh
# Puts the gate's own temporary worktree (workspace_checkout=worktree) right after a gate, so that the next one begins with
# the files of the commit; says what it put right, as `restored: NAME` and `removed: NAME`. Ignored files (.venv,
# node_modules) stay. In any other checkout it does nothing.
export GIT_OPTIONAL_LOCKS=0
case $(git rev-parse --absolute-git-dir) in
  */.git/worktrees/promotion-gate-*) ;;
  *) exit 0 ;;
esac
git -c core.quotepath=false diff --name-only HEAD -- | sed 's/^/restored: /'
git -c core.quotepath=false ls-files --others --exclude-standard | sed 's/^/removed: /'
git reset --quiet --hard HEAD && git clean --quiet --force -d
