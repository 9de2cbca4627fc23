"""From what a user names to items, and from items to pixels."""
