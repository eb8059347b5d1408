#!/bin/sh
# Prints for each file whether it exists and is not empty.
for file in "$@"; do
  if [ -s "$file" ]; then echo "found $file"; else echo "missing $file"; fi
done
