"""`python -m segmentation.preflight`: checks settings and model files without Ray, before every start.

The command's name is older than the room of its code: the settings of a server are `deployments`' own. This file hands
over to `deployments.preflight` and imports nothing.
"""

import runpy

if __name__ == "__main__":
    runpy.run_module("deployments.preflight", run_name="__main__", alter_sys=True)
