"""neuromanager: put words in front of a command that works, and it becomes hundreds of runs.

The command line and the files are the interface; importing this package is not.
"""

__version__ = "0.1.0"
