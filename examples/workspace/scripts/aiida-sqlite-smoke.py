#!/usr/bin/env python3
"""The sqlite smoke: one real core.arithmetic.add on a core.sqlite_dos profile that lives for this run only.

Needs no broker, no daemon and no service. Run from the repository root:

    uv run --frozen --project apps/api --group aiida python scripts/aiida-sqlite-smoke.py

Exit status: 0 if the calculation is Finished [0] and the sum is right, else 1.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

PROFILE = "sqlite-smoke"
X, Y = 19, 23


def say(text: str) -> None:
    print(text, flush=True)


def run(home: Path) -> bool:
    """Run the calculation with everything it needs under `home`; True if it ended as it should."""
    # aiida reads AIIDA_PATH when it is imported, hence the imports down here.
    (home / ".aiida").mkdir()
    os.environ["AIIDA_PATH"] = str(home)
    import aiida
    from aiida import engine, orm
    from aiida.manage.configuration import create_profile, get_config, load_profile

    say(f"aiida-core {aiida.__version__}, Python {sys.version.split()[0]}")
    create_profile(
        get_config(create=True),
        name=PROFILE,
        email="smoke@example.org",
        first_name="Sqlite",
        last_name="Smoke",
        institution="none",
        storage_backend="core.sqlite_dos",
        storage_config={"filepath": str(home / "storage")},
    )
    load_profile(PROFILE)
    say(f"profile {PROFILE}: core.sqlite_dos in a temporary AIIDA_PATH, no broker")

    computer = orm.Computer(
        label="localhost",
        hostname="localhost",
        transport_type="core.local",
        scheduler_type="core.direct",
        workdir=str(home / "work"),
    ).store()
    # The smoke is timed: AiiDA's polite default of 10 s between two polls would be most of it.
    computer.set_minimum_job_poll_interval(0)
    computer.set_default_mpiprocs_per_machine(1)
    computer.configure(safe_interval=0, use_login_shell=False)
    say("computer localhost: core.local, core.direct")

    code = orm.InstalledCode(
        label="add",
        computer=computer,
        filepath_executable="/bin/bash",
        default_calc_job_plugin="core.arithmetic.add",
    ).store()
    builder = code.get_builder()
    builder.x, builder.y = orm.Int(X), orm.Int(Y)
    results, node = engine.run_get_node(builder)
    state = node.process_state.value if node.process_state else "unknown"
    say(f"calculation core.arithmetic.add<{node.pk}>: {state.capitalize()} [{node.exit_status}]")

    total = results["sum"].value if "sum" in results else None
    say(f"sum: {X} + {Y} = {total}")
    return bool(node.is_finished_ok) and total == X + Y


def main() -> int:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aiida-sqlite-smoke-") as home:
        passed = run(Path(home))
    say(f"sqlite smoke: {'passed' if passed else 'FAILED'} in {time.monotonic() - started:.1f} s")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
