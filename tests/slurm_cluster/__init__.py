"""A real Slurm cluster of three nodes on one machine: for the tests, for continuous integration, and by hand."""
