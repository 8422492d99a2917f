import pandas as pd

from . import util
from .events import errorEvent, updateEvent


def on(x):
    return x


frame = util.df([1, 2])
util.startLoop()
errorEvent += on
updateEvent.connect(on)
index = pd.Index([1])
