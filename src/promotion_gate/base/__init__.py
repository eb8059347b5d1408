"""What everything else builds on: errors, the words of the model, times, fields, files, escapes, names, the policy."""
