"""The frameworks that own heads, data and training. A host knows nothing of another host."""
