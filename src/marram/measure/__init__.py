"""The room ``measure``: a Program on a device makes Evidence."""
