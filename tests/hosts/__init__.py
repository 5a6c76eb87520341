"""neuromanager/hosts."""
