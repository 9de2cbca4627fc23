"""The command hiera-det: a module for each of its subcommands, which the scripts in tools/ run too."""
