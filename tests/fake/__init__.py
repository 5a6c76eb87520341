"""A fake Slurm: put this folder on PATH, and a folder of your own into FAKE_SLURM_DIR.

The programs sbatch, squeue, sacct, scancel and scontrol (show, hold, release, requeue) behave, as far as they
go, as those of Slurm 22.05 on the cluster of tests.beds.slurm.cluster do (the same partitions, account, GPUs);
test_fake_contract.py holds the two against each other. Jobs really run, the elements of an array one after the
other, as processes of this machine. --hold is obeyed; --dependency, --begin and --time are not. A job is taken whole
or not at all, at whatever instant sbatch is killed, and any number of clients may come at once.

    FAKE_SLURM_DIR          calls.jsonl: one JSON list a line, the words of each call; JOBID.sh: the script as
                            submitted; jobs.py has the rest
    FAKE_SLURM_RUN=0        jobs are accepted, stay pending and are never run; this path is as quick as a program can
                            be, and checks little
    FAKE_SLURM_PYTHON       the Python that runs all but the quick path; python3 if not set
    FAKE_SLURM_ACCOUNTING=0 there is no slurmdbd: sacct says so and ends with 1
    FAKE_SLURM_MIN_JOB_AGE  seconds after which squeue forgets a job that has ended; 300 if not set
    FAKE_SLURM_MAX_ARRAY_SIZE  MaxArraySize; 1001 if not set
    FAKE_SLURM_MAX_JOB_COUNT  what scontrol tells of MaxJobCount, which nothing here obeys; 10000 if not set
    FAKE_SLURM_MAX_SUBMIT   MaxSubmitJobs of the user's association; none if not set. The quick path knows none
    FAKE_SLURM_FAULT        one of the faults below; while it is not set, the first line of FAKE_SLURM_DIR/fault counts

    refuse              sbatch: a bad partition, exit code 1
    refuse-usage        sbatch: a bad option, 255
    garbage             sbatch: prints hello, 0; no job
    hang                sbatch: does nothing for ever; no job
    timeout             sbatch: the job is taken and runs, and sbatch says that it failed, 1
    taken-then-killed   sbatch: the job is taken, and sbatch dies of SIGKILL before it answers
    taken-then-hangs    sbatch: the job is taken, and sbatch never answers
    endless             all: print lines without end
    down                all: no contact, at once; sbatch, squeue and scontrol 1, scancel 8, sacct 1
    controller-down     the same, but sacct answers, as when slurmctld alone is down
    rate-limited        the controller is asked too often by this user (rl_enable, since 23.02), at once; sbatch, squeue
                        and scontrol 1, scancel 8; sacct asks slurmdbd, and answers. A real client sleeps and asks again
                        before it says so
    sacct-down          sacct: no contact, 1
    sacct-hangs         sacct: does nothing for ever
    sacct-lags          sacct: for 5 s after each start and end, every second element is missing, and the others are
                        named `allocation`

Beside them stands a fake nvidia-smi, which has nothing to do with Slurm; what it shows is in the file FAKE_GPUS.
"""
