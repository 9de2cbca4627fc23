"""Images and clips classified by a Hiera with its head."""
