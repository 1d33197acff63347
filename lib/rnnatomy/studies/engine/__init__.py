"""The engine of the studies: jobs that are done once, kept, and run wherever there are processes.

A study is a list of jobs. A job is a pure function of its settings and inputs, and is known by a
hash of all that goes in, see ``identity``. What is done is kept in ``build/jobs``, one folder for
each job, see ``jobs``; the rest runs in processes of this machine or on a cluster, see ``workers``.

    trained = engine.run("mine", [engine.Job(f"mine-{s}", train, {"seed": s}) for s in range(8)])
    scores = [engine.load(kept).arrays["score"] for kept in trained]
"""

from rnnatomy.studies.engine.jobs import EngineError, Job, Kept, Made, checkpoint, load
from rnnatomy.studies.engine.running import facts, run

__all__ = ["EngineError", "Job", "Kept", "Made", "checkpoint", "facts", "load", "run"]
