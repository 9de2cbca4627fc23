"""The subcommands: each module compares candidates at one task."""
