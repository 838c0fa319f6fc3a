"""Render files by which other programs run engines: Compose, systemd, Kubernetes, plain scripts, Ray; runs nothing."""

from .records import Deployment, DeployOptions, Policy, RenderedFile, Target
from .rendering import render

__all__ = ["DeployOptions", "Deployment", "Policy", "RenderedFile", "Target", "render"]
