"""The room ``runtime``: a bundle becomes a running model. A light room."""
