"""Proximal policy optimisation: rollouts, advantages, the clipped update."""

from clew.objectives.ppo.objective import PPO as PPO
from clew.objectives.ppo.objective import make as make
