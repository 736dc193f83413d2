"""Work in several processes: a queue of tasks in the driver, and what runs them, processes of this machine or Ray."""
