#!/bin/sh
# Prints the versions of the runtime's components as `key: value` lines; what is not there prints an empty value.
echo "aiida-core: $(verdi --version 2>/dev/null | sed -n 's/.* version //p')"
interpreter=$(dirname "$(command -v verdi)")/python
[ -x "$interpreter" ] || interpreter=python3
echo "python: $("$interpreter" --version 2>/dev/null)"
echo "slurm: $(sinfo --version 2>/dev/null)"
echo "postgresql: $(psql --version 2>/dev/null)"
# rabbitmqctl wants root; the package's own version is readable by everybody.
echo "rabbitmq: $(dpkg-query -W -f '${Version}' rabbitmq-server 2>/dev/null || rpm -q --qf '%{VERSION}' rabbitmq-server 2>/dev/null)"
