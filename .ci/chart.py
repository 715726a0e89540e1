"""Whether the server would take the settings that a rendered chart gives it.

    python3 .ci/chart.py PROGRAM MANIFESTS

It runs `PROGRAM config check` with the file of the ConfigMap, and with the variables of the container. Never starts a
server.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

# What one check may take; it ends in milliseconds.
CHECK_S_MAX = 60


def main(program: str, manifests: str) -> int:
    objects = [it for it in yaml.safe_load_all(Path(manifests).read_text()) if it]
    (config,) = [it for it in objects if it["kind"] == "ConfigMap"]
    (server,) = [it for it in objects if it["kind"] == "StatefulSet"]
    pod = server["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    # Of the first pod, where a value is the pod's.
    pod_name = f"{server['metadata']['name']}-0"
    variables = {it["name"]: it.get("value", pod_name).replace("$(POD)", pod_name) for it in container["env"]}
    if server["spec"]["replicas"] != 1 and "WHIMBREL_STORE" not in variables:
        print("there is more than one server, and they would not share data")
        return 1
    # The notice, 10 s for the clients, and some to close the log.
    if pod["terminationGracePeriodSeconds"] < int(variables["WHIMBREL_DRAIN_NOTICE"]) + 20:
        print("the server would be killed while it stops")
        return 1
    if container["args"][:2] != ["serve", "--config"]:
        print(f"the arguments are {container['args']}")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, Path(container["args"][2]).name)
        file.write_text(config["data"][file.name])
        checked = subprocess.run(
            [program, "config", "check", "--config", file],
            env=variables,
            timeout=CHECK_S_MAX,
            check=False,
        )
    return checked.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
