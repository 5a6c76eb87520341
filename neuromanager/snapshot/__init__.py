"""The code as a commit that is kept, and as a folder that nobody edits."""
