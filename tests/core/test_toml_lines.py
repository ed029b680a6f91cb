"""Line numbers of TOML keys, through comments, multi-line strings and arrays."""

from __future__ import annotations

import tomllib

from marram.core.toml_lines import key_lines

TEXT = """a = 1
[t]  # a table
b = [
  "x = 1",   # not a key
  "]",
]
c = '''
d = 2
[no]
'''
"quoted key" = 3
e.f = {g = 1}
[t.u]
h = "it's"
"""


def test_lines_of_keys() -> None:
    tomllib.loads(TEXT)
    assert key_lines(TEXT) == {"a": 1, "t": 2, "t.b": 3, "t.c": 7, "t.quoted key": 11, "t.e.f": 12, "t.u": 13, "t.u.h": 14}
