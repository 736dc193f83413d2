"""From topics to rankings: query vectors, fusion, hybrid search, scoring of given texts."""
