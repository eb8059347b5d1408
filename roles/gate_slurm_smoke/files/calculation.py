"""Submits core.arithmetic.add through the daemon and prints the result as `key: value` lines.

Run by `verdi -p PROFILE run calculation.py COMPUTER LIMIT_SECONDS`; aiida-core 2.6 to 2.9. Judges nothing.
"""

import sys
import time

from aiida import engine, orm

label, limit = sys.argv[1], float(sys.argv[2])
computer = orm.load_computer(label)
code = orm.InstalledCode(
    computer=computer, filepath_executable="/bin/bash", default_calc_job_plugin="core.arithmetic.add"
)
builder = code.get_builder()
builder.x, builder.y = orm.Int(19), orm.Int(23)
builder.metadata.options.resources = {"num_machines": 1, "num_mpiprocs_per_machine": 1}
builder.metadata.options.max_wallclock_seconds = 60
builder.metadata.options.withmpi = False
print(f"scheduler: {computer.scheduler_type}")
print(f"x: {builder.x.value}\ny: {builder.y.value}")
node = engine.submit(builder)
print(f"pk: {node.pk}", flush=True)
deadline = time.monotonic() + limit
while not node.is_terminated and time.monotonic() < deadline:
    time.sleep(0.2)
print(f"process_state: {node.process_state.value if node.process_state else 'unknown'}")
print(f"exit_status: {node.exit_status}")
print(f"slurm_job: {node.get_job_id()}")
if "sum" in node.outputs:
    print(f"sum: {node.outputs.sum.value}")
