"""HTTP to values and back: parsing, validation, errors, headers, OpenAPI."""
