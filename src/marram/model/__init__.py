"""The room ``model``: importers, exporters, the integer reference, the zoo and training, all around one Graph."""
