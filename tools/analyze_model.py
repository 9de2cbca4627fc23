"""Count a detector's parameters and multiply-adds."""

from hiera_det.cli.analyze import main
from hiera_det.cli.errors import user_errors

if __name__ == "__main__":
    with user_errors():
        main()
