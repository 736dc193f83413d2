import os

from hypothesis import settings

# No test asks the network for a model: without this, every name that is none costs half a minute of retries.
os.environ["HF_HUB_OFFLINE"] = "1"

# How long an example takes says something of the machine, which may be busy, and nothing of the code.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")
