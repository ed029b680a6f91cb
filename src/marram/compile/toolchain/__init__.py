"""Outside tools that turn generated C into images and libraries, and what is known of an image before it is linked."""
