"""The room ``report``: what a build found, as one self-contained HTML page."""
