# The build looks for the classes that the world in wit/ exports here.
from report import Report
from workload import Workload

__all__ = ["Report", "Workload"]
