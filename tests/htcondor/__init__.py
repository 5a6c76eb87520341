"""HTCondor as a scheduler, on a real one."""
