"""`python -m hiera_det`: the command `hiera-det`."""

from hiera_det.cli.main import main

if __name__ == "__main__":
    main()
