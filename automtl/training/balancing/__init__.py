"""How the tasks' losses are weighed."""

from automtl.training.balancing.balancers import check_balancing, make_balancer

__all__ = ["check_balancing", "make_balancer"]
