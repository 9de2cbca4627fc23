"""Train or evaluate an action detector."""

from hiera_det.cli.errors import user_errors
from hiera_det.cli.train import main

if __name__ == "__main__":
    with user_errors():
        main(task="actions")
