"""How components reach what they roll back: programs, and servers that speak HTTP. Failures become the errors of core."""
