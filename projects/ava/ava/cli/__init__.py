"""The commands: what projects/ava/*.py run."""
