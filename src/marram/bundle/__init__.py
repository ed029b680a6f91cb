"""The room ``bundle``: seal, sign, open and verify the one file that travels to a device. A light room."""
