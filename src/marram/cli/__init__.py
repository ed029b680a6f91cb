"""The room ``cli``: commands that parse, call one function and print."""
