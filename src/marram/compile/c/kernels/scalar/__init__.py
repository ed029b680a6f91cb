"""What the families of scalar Arm cores, ``armv6m`` and ``armv7m``, have in common: no family itself."""
