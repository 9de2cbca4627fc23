"""Pickles of unknown origin as plain data: nothing that they name is looked up, imported or called."""
