"""The room ``sense``: a window from a sensor becomes what the model takes. A light room."""
