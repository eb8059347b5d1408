#!/bin/sh
# Prints for how many seconds PostgreSQL and the oldest daemon worker of the profile $1 have run, as `key: value` lines.
# A program that does not run on this machine, or cannot be seen, has no line.
ps -eo etimes=,args= | awk -v profile="$1" '
    # Assembled here, so that this program does not match itself.
    BEGIN { worker = "verdi -p " profile " daemon worker" }
    # The server itself; its children call themselves "postgres: checkpointer" and so on.
    $2 ~ /(^|\/)(postgres|postmaster)$/ { if (!("postgresql" in age) || $1 > age["postgresql"]) age["postgresql"] = $1 }
    index($0 " ", worker " ") { if (!("worker" in age) || $1 > age["worker"]) age["worker"] = $1 }
    END { for (name in age) print name "_seconds: " age[name] }
' | sort
