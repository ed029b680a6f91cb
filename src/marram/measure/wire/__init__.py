"""The harness's frames, spoken with an emulator, a process of this machine or a board: one protocol, three links."""
