#!/bin/sh
# Says of each file whether it is there with something in it.
for file in "$@"; do
  if [ -s "$file" ]; then echo "found $file"; else echo "missing $file"; fi
done
