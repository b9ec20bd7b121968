"""Infrastructure that is described by configuration."""
