import os

# No test asks the network for a model: without this, every name that is none costs half a minute of retries.
os.environ["HF_HUB_OFFLINE"] = "1"
