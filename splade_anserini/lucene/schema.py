"""The fields of an impact index, as Anserini writes and reads them."""

ID = "id"
"""The document's id: stored, indexed as one term, and in binary doc values."""

CONTENTS = "contents"
"""The tokens, with their impacts as term frequencies."""

RAW = "raw"
"""The record as it was, stored if wanted."""
