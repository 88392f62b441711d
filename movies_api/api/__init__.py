"""Convert between HTTP and values: parsing, validation, errors, headers, OpenAPI."""
