"""The text of generated C: header, public functions, constants, layers' functions, and the calls of them in their places."""
