"""Other people's engines, driven on the same nets in the same run."""
