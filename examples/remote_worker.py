"""Hand a run to a worker: its token logs to this run and reads nothing, and lives as long as the run goes on."""

import os
import subprocess
import sys

import holdfast

WORKER = """
import holdfast

with holdfast.start_run() as run:  # goes on with HOLDFAST_RUN_ID, and renews its token
    holdfast.log_metric("loss", 0.5, step=1)
    holdfast.log_text("weights", "checkpoints/last.txt")
    try:
        holdfast.get_run(run.info.run_id)
    except holdfast.errors.PermissionDeniedError as error:
        print("refused:", error.reason)
"""

client = holdfast.Client()
run = client.create_run("0")
# HOLDFAST_URI, HOLDFAST_TOKEN and HOLDFAST_RUN_ID, also for another machine
variables = run.worker_environment(path_prefix="checkpoints", byte_budget=10 * 2**30)
subprocess.run([sys.executable, "-c", WORKER], env=os.environ | variables, check=True)
print(client.get_run(run.info.run_id).info.status, client.get_run(run.info.run_id).data.metrics)
