"""Login nodes on loopback, each an sshd of its own before a Slurm of its own."""
