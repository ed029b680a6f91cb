"""The room ``compile``: a Graph and a Target make a Program."""
