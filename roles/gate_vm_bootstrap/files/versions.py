"""Prints the versions of the runtime's components as `key: value` lines; run by `verdi -p PROFILE run`.

Asked of what the profile talks to, not of what is installed: the database server, the broker, the interpreter and the
aiida-core of this verdi, Slurm's own command. What does not answer is left out.
"""

import subprocess
import sys

import aiida
from aiida.manage import get_manager
from sqlalchemy import text


def postgresql():
    return get_manager().get_profile_storage().get_session().execute(text("show server_version")).scalar()


def rabbitmq():
    return get_manager().get_broker().get_rabbitmq_version()


def slurm():
    return (
        subprocess.run(["sinfo", "--version"], stdout=subprocess.PIPE, timeout=20, check=True).stdout.decode().strip()
    )


print(f"aiida-core: {aiida.__version__}")
print(f"python: {sys.version.split()[0]}")
for ask in (slurm, postgresql, rabbitmq):
    try:
        print(f"{ask.__name__}: {ask()}")
    except Exception as error:  # each is asked separately; if one does not answer, that is recorded
        print(f"no answer from {ask.__name__} ({type(error).__name__}: {error})")
