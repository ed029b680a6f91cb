"""A float Graph becomes an integer one: what is seen, which scales follow, how weights are rounded, what it costs."""
