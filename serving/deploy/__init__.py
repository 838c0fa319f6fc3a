"""Render the files with which Compose, systemd, Kubernetes, shell scripts or Ray run engines; runs nothing."""

from .records import Deployment, DeployOptions, Policy, RenderedFile, Target
from .rendering import render

__all__ = ["DeployOptions", "Deployment", "Policy", "RenderedFile", "Target", "render"]
