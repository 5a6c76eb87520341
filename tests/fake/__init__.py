"""A fake Slurm: put this folder on PATH, and a folder of your own into FAKE_SLURM_DIR.

The programs sbatch, squeue, sacct and scancel behave, as far as they go, as those of Slurm 22.05 on the cluster of
tests.slurm.cluster do (the same partitions, account, GPUs); tests/test_fake_contract.py holds the two against each
other. Jobs really run, the elements of an array one after the other, as processes of this machine.

    FAKE_SLURM_DIR      calls.jsonl: one JSON list a line, the words of each call; JOBID.sh: the script as submitted;
                        JOBID.json: what the job asked for and what became of it
    FAKE_SLURM_RUN=0    jobs are accepted and never run; this path is as quick as a program can be, and checks little
    FAKE_SLURM_PYTHON   the Python that runs all but the quick path; python3 if not set
    FAKE_SLURM_FAULT    what sbatch does instead of its work: refuse (a bad partition, exit code 1), refuse-usage (a bad
                        option, 255), garbage (prints hello, 0), hang (for ever), or with it: timeout (the job is taken
                        and runs, and sbatch says that it failed, 1)

Beside them stands a fake nvidia-smi, which has nothing to do with Slurm; what it shows is in the file FAKE_GPUS.
"""
