"""A small world of Python projects with one bug each, made up by chance and checked by really running their tests."""
