"""What a run of the gate needs on the controller: opening, resume, settings, lock, backstop."""
