"""The room ``core``: the nouns, the errors, the ports and the codec. Imports nothing of marram beyond itself."""
