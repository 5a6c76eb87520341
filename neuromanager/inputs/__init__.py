"""A program's own input files: where their values stand, and what another value looks like there."""
