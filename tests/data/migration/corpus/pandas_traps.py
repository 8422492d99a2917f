import numpy as np
import pandas as pd

df = pd.read_csv("bars.csv", parse_dates=["date"], index_col="date")
stamps = df.index.astype("int64")
nanos = df["when"].astype(np.int64) // 10**9
raw = pd.to_datetime(df["text"]).view("i8")
fine = df.index.as_unit("ns").astype("int64")
five = df.resample("5T").last()
hours = df.groupby(pd.Grouper(freq="H")).sum()
grid = pd.date_range("2026-01-01", periods=3, freq="15S")
good = df.resample("5min").last()
floor = df.index.floor("1H")
df["close"][df["volume"] == 0] = np.nan
df[df["volume"] > 5]["flag"] = 1
df.loc[df["volume"] == 0, "close"] = np.nan
values = df["close"].to_numpy()
values[0] = 1.0
df["close"].values[1] = 2.0
copied = df["close"].to_numpy(copy=True)
copied[0] = 1.0
text = df.select_dtypes(include="object")
is_text = df["symbol"].dtype == object
also = df["symbol"].dtype == "object"
numbers = np.arange(5).astype("int64")
