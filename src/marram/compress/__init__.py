"""The room ``compress``: a Graph and a Recipe make a smaller Graph."""
