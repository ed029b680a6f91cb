"""The room ``data``: files and recordings become checked, split arrays."""
