"""Doubles of a model server."""
from .model import *
from .replies import *
