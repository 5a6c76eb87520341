"""HTCondor as a scheduler: neuromanager/schedulers.py says what it has to answer."""
