"""C of a stream: where its states stand, its functions, its self-test, how a harness drives it."""
