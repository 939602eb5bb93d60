"""Run the examples, each in a process of its own, then show what they stored.

Without HOLDFAST_URI they use the embedded default: a server that the first of them starts on ./.holdfast.
"""

import subprocess
import sys
from pathlib import Path

import holdfast

EXAMPLES = Path(__file__).parent


def run(name: str) -> dict[str, str]:
    """Run an example; returns what it printed as ``name: value`` lines."""
    print(f"--- {name}")
    done = subprocess.run([sys.executable, EXAMPLES / name], stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, end="")
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())


def show_tree(uri: str) -> None:
    """Print all files of a run or model with their sizes and digests."""
    for entry in holdfast.artifacts.list_artifacts(uri, recursive=True):
        if not entry.is_dir:
            print(f"  {entry.path:<40} {entry.file_size:>9,} bytes  digest {entry.digest[:16]}…")


def main() -> None:
    # Held open while the examples come and go, so that they share one server.
    client = holdfast.Client()
    print("store:", holdfast.get_tracking_uri())
    run_id = run("log_artifact.py")["run"]
    model_uri = run("log_model.py")["model"]
    registered = run("register_model.py")
    if registered["predictions equal"] != "True":
        raise SystemExit("the reloaded model predicts otherwise than the original")

    print("--- stored")
    print("run", run_id, "status", client.get_run(run_id).info.status)
    show_tree(f"runs:/{run_id}")
    print("model", model_uri)
    show_tree(model_uri)
    version = client.get_model_version("production-classifier", registered["version"])
    print(f"registered {version.name} version {version.version} status {version.status}")
    show_tree(f"models:/production-classifier/{version.version}")
    print("the reloaded model predicts what the original does: yes")


if __name__ == "__main__":
    main()
