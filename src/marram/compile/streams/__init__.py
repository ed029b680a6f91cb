"""A model of windows as one of a stream: an integer Graph that takes what is new and what it keeps."""
