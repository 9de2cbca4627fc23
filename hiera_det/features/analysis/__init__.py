"""What a store is good for: probes and nearest neighbours."""
