"""The rewrites that ``folding`` runs: one rule for each function, grouped by what they touch."""
