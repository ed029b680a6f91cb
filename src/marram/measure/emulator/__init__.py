"""Generated C on an emulated core: outputs, exact instruction counts, stack. QEMU runs it, a plugin of ours counts."""
