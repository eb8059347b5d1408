"""A run's bundle: its index, the recorder that writes it, the loader that reads it, the chain of runs, baselines."""
