# The build looks for the classes that the world in wit/ exports here.
from workload import Workload

__all__ = ["Workload"]
