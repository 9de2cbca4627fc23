"""The commands: what tools/*.py run."""
