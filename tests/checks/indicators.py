"""What every indicator over bars must keep, whoever wrote it. Each check takes a maker of new instances; `CHECKS` lists them all."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import pickle
import random
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tastytrade_provider.errors import MissingColumns, UsageError
from tastytrade_provider.indicators import Indicator
from tastytrade_provider.model import Bar
from tests.checks.builders import ES, frame, random_bars

Make = Callable[[], Indicator]
SEED, BARS = 20261122, 400


def history(*, unknown: float = 0.03) -> pd.DataFrame:
    """Five sessions with gaps and bars without a split, as a provider would label them."""
    found = frame(random_bars(SEED, BARS, unknown=unknown, gaps=0.02))
    found.attrs |= {"tick_size": ES.tick_size, "calendar": ES.calendar}
    return found


@functools.cache
def many() -> tuple[Bar, ...]:
    """More bars than anything may keep; made once, as bars do not change."""
    return tuple(random_bars(SEED, 10_500))


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Equal to the last bit, NaN at the same places."""
    assert list(one.columns) == list(other.columns)
    for name in one:
        left, right = one[name].to_numpy(np.float64), other[name].to_numpy(np.float64)
        assert left.view(np.int64).tolist() == right.view(np.int64).tolist(), f"{name} differs"


def rows(indicator: Indicator, values: list[dict[str, float]], index: pd.Index) -> pd.DataFrame:
    return pd.DataFrame(values, columns=list(indicator.outputs), index=index)


def one_by_one_equals_all_at_once(make: Make) -> None:
    data, live = history(), make()
    bars = random_bars(SEED, BARS, unknown=0.03, gaps=0.02)
    same(rows(live, [live.update(bar) for bar in bars], data.index), make().run(data))


def a_preview_equals_the_update_that_follows_and_commits_nothing(make: Make) -> None:
    data, live, previews = history(), make(), []
    for bar in random_bars(SEED, BARS, unknown=0.03, gaps=0.02):
        live.preview(dataclasses.replace(bar, close=bar.low, buy_volume=7.0, sell_volume=1.0))
        previews.append(live.preview(bar))
        live.update(bar)
    same(rows(live, previews, data.index), make().run(data))


def a_mapping_is_as_good_as_a_bar(make: Make) -> None:
    one, other = make(), make()
    for bar in random_bars(SEED, 60):
        fields = {field.name: getattr(bar, field.name) for field in dataclasses.fields(bar)}
        assert repr(one.update(fields)) == repr(other.update(bar))


def a_frame_in_pieces_equals_the_whole(make: Make) -> None:
    data = history()
    rng = random.Random(SEED)
    for _ in range(5):
        live = make()
        cuts = [0, *sorted(rng.sample(range(BARS), 6)), BARS]
        same(pd.concat([live.extend(data.iloc[a:b]) for a, b in itertools.pairwise(cuts)]), make().run(data))


def a_value_never_depends_on_later_bars(make: Make) -> None:
    data = history()
    whole = make().run(data)
    for k in random.Random(SEED).sample(range(BARS), 40):
        same(make().run(data.iloc[: k + 1]).tail(1), whole.iloc[[k]])


def reset_makes_it_new(make: Make) -> None:
    data, used = history(), make()
    used.extend(data.iloc[:123])
    used.reset()
    same(used.extend(data), make().run(data))


def run_commits_nothing(make: Make) -> None:
    data, used = history(), make()
    used.extend(data.iloc[:100])
    used.run(data)
    same(used.extend(data.iloc[100:]), make().run(data).iloc[100:])


def the_warm_up_is_what_it_says(make: Make) -> None:
    """The main output is unknown, or says nothing, for exactly the declared count of bars."""
    data, warmup = history(unknown=0.0), make().warmup
    main = make().run(data).iloc[:, 0]
    assert (main.iloc[:warmup].isna() | (main.iloc[:warmup] == 0)).all()
    assert main.iloc[warmup:].notna().all()


def inputs_stay_untouched_and_the_index_is_kept(make: Make) -> None:
    data = history()
    before = data.copy(deep=True)
    out = make().run(data)
    pd.testing.assert_frame_equal(data, before)
    pd.testing.assert_index_equal(out.index, data.index)
    assert tuple(out.columns) == make().outputs


def it_pickles_in_mid_stream(make: Make) -> None:
    data, live = history(), make()
    live.extend(data.iloc[:200])
    again = pickle.loads(pickle.dumps(live))
    same(again.extend(data.iloc[200:]), make().run(data).iloc[200:])
    assert again.params == live.params


def memory_does_not_grow(make: Make) -> None:
    live, sizes = make(), []
    for bar in many():
        live.update(bar)
        sizes.append(len(pickle.dumps(live)) if len(sizes) in (499, 10_499) else 0)
    assert sizes[499] == sizes[10_499]


def a_missing_column_is_named_with_the_indicator(make: Make) -> None:
    for name in make().inputs:
        with pytest.raises(MissingColumns, match=rf"^{make().name} needs .*\b{name}\b.* missing"):
            make().run(history().drop(columns=name))


def it_needs_no_column_it_does_not_declare_but_the_session(make: Make) -> None:
    data = history()
    make().run(data[[*make().inputs, "session"]])


def no_bars_give_no_rows(make: Make) -> None:
    out = make().run(history().iloc[:0])
    assert out.shape == (0, len(make().outputs))


def bars_out_of_order_are_refused(make: Make) -> None:
    with pytest.raises(UsageError, match="oldest first"):
        make().run(history().iloc[::-1])


def every_parameter_names_what_it_accepts(make: Make) -> None:
    for param in make().accepts:
        assert param.is_valid(param.default)
        with pytest.raises(UsageError, match=f"{param.name}=.* is not accepted"):
            type(make())(**{param.name: object()})


CHECKS = (
    one_by_one_equals_all_at_once,
    a_preview_equals_the_update_that_follows_and_commits_nothing,
    a_mapping_is_as_good_as_a_bar,
    a_frame_in_pieces_equals_the_whole,
    a_value_never_depends_on_later_bars,
    reset_makes_it_new,
    run_commits_nothing,
    the_warm_up_is_what_it_says,
    inputs_stay_untouched_and_the_index_is_kept,
    it_pickles_in_mid_stream,
    memory_does_not_grow,
    a_missing_column_is_named_with_the_indicator,
    it_needs_no_column_it_does_not_declare_but_the_session,
    no_bars_give_no_rows,
    bars_out_of_order_are_refused,
    every_parameter_names_what_it_accepts,
)
