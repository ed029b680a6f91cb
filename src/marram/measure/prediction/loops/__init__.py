"""Which loops a kernel's work goes through, and how often: a module a kernel family, a function a kernel."""
