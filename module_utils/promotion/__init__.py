"""What the module gate_commands runs on the target: Python 3.9 or newer, standard library only."""
